"""One of a chat's answers as it comes: generated text in, deltas of the wire format out."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable

from server.chat.formats.custom import CustomInput
from server.chat.formats.events import CallArguments, CallEnded, CallStarted, ContentText, Event, ReasoningText
from server.chat_plan import ChatPlan
from server.generation import TextDelta
from server.schemas.chat_response import (
    ContentDelta,
    CustomText,
    Delta,
    FinishReason,
    FunctionCallDelta,
    FunctionText,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallsDelta,
)


class Reply:
    def __init__(self, plan: ChatPlan) -> None:
        self._plan = plan
        self._parser = plan.parser()
        self._inputs: dict[int, CustomInput] = {}
        """Of calls of custom tools."""
        self._calls = 0
        self._open_call = False
        self._thought_aloud = False
        """The content so far ends with reasoning that isn't told apart."""
        self._settled = False
        """All that follows is content, as it is: what most tokens of most answers are."""
        self.reasoning_tokens = 0
        """Those of blocks of thinking, the markers around them included."""

    def take(self, delta: TextDelta) -> list[Delta]:
        """What the client is told. Text of a kind comes in one delta."""
        if self._settled:
            return [ContentDelta(delta.text)] if delta.text else []
        found = self._read(delta)
        self._settled = self._parser.settled and not self._thought_aloud
        if delta.finish_reason is not None:
            found += self._parser.finish()
        return self._deltas(found)

    def finish_reason(self, last: TextDelta) -> FinishReason:
        """Calls count if the model has ended by itself, or if at least the last one is complete."""
        if last.finish_reason == "stop" and self._calls and (last.stop_string is None or not self._open_call):
            return "function_call" if self._plan.tools.legacy else "tool_calls"
        return last.finish_reason or "stop"

    def _read(self, delta: TextDelta) -> list[Event]:
        """Token by token, if there are several: so each can be told to be reasoning or not."""
        parser = self._parser
        found: list[Event] = []
        for text, count in _pieces(delta):
            thinking = parser.thinking
            found += parser.feed(text)
            if thinking or parser.thinking:
                self.reasoning_tokens += count
        return found

    def _deltas(self, events: Iterable[Event]) -> list[Delta]:
        deltas: list[Delta] = []
        for event in events:
            if self._thought_aloud and isinstance(event, CallStarted):
                deltas.append(ContentDelta(self._aloud(event)))
            delta = self._delta(event)
            if delta is not None and not (deltas and _joined(deltas[-1], delta)):
                deltas.append(delta)
        return deltas

    def _delta(self, event: Event) -> Delta | None:
        if isinstance(event, ReasoningText) and self._plan.split_reasoning:
            return ReasoningDelta(event.text, event.text)
        if isinstance(event, ReasoningText | ContentText):
            return ContentDelta(self._aloud(event) + event.text)
        if isinstance(event, CallEnded):
            self._open_call = False
            return None
        return self._started(event) if isinstance(event, CallStarted) else self._continued(event)

    def _aloud(self, event: Event) -> str:
        """The marker before the event, where reasoning begins or ends that isn't told apart."""
        before, self._thought_aloud = self._thought_aloud, isinstance(event, ReasoningText)
        if before == self._thought_aloud:
            return ""
        thinking = self._plan.thinking
        return f"{thinking.open}\n" if self._thought_aloud else f"\n{thinking.close}\n\n"

    def _started(self, event: CallStarted) -> Delta | None:
        self._calls, self._open_call = event.index + 1, True
        tools, name = self._plan.tools, event.name
        if tools.legacy:
            first = FunctionText(name=name, arguments="")
            return FunctionCallDelta(first) if event.index == 0 else None
        call_id = event.id or self._plan.format.format.call_id(name, event.index)
        if name in tools.custom:
            self._inputs[event.index] = CustomInput()
            custom = CustomText(name=name, input="")
            return ToolCallsDelta([ToolCallDelta(event.index, call_id, "custom", custom=custom)])
        function = FunctionText(name=name, arguments="")
        return ToolCallsDelta([ToolCallDelta(event.index, call_id, "function", function=function)])

    def _continued(self, event: CallArguments) -> Delta | None:
        index, text = event.index, event.text
        if self._plan.tools.legacy:
            return FunctionCallDelta(FunctionText(arguments=text)) if index == 0 else None
        if (custom := self._inputs.get(index)) is not None:
            more = custom.feed(text)
            return ToolCallsDelta([ToolCallDelta(index, custom=CustomText(input=more))]) if more else None
        return ToolCallsDelta([ToolCallDelta(index, function=FunctionText(arguments=text))])


def _pieces(delta: TextDelta) -> Iterable[tuple[str, int]]:
    """The text with the number of its tokens, cut at the tokens if they spell it."""
    if len(delta.tokens) < 2:
        return [(delta.text, len(delta.tokens))]
    decode = getincrementaldecoder("utf-8")("replace").decode
    texts = [decode(token.bytes) for token in delta.tokens]
    if "".join(texts) != delta.text:  # tokens that aren't shown, or a character that isn't one
        return [(delta.text, len(texts))]
    return [(text, 1) for text in texts]


def _joined(last: Delta, delta: Delta) -> bool:
    """Add to the last delta, if both are content or both are reasoning."""
    if isinstance(last, ContentDelta) and isinstance(delta, ContentDelta):
        last.content += delta.content
    elif isinstance(last, ReasoningDelta) and isinstance(delta, ReasoningDelta):
        last.reasoning_content = last.reasoning = last.reasoning + delta.reasoning
    else:
        return False
    return True
