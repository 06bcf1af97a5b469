"""One of a chat's answers as it comes: generated text in, deltas of the wire format out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, count

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
        self._at = 0
        """How much text has been read, in characters."""
        self._undecided = 0
        """The last tokens, which have not become anything yet: they may turn out to be a marker."""
        self._inputs: dict[int, CustomInput] = {}
        """Of calls of custom tools."""
        self._ids: set[str] = set()
        """Of calls."""
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
            text = self._plan.tokens.shown(delta.text)
            return [ContentDelta(text)] if text else []
        found = self._read(delta)
        self._settled = self._parser.settled and not self._thought_aloud
        if delta.finish_reason is not None:
            found += self._parser.finish()
        return self._deltas(found)

    def finish_reason(self, last: TextDelta) -> FinishReason:
        """Calls count unless the last one is cut off."""
        if last.finish_reason == "stop" and self._calls and not self._open_call:
            return "function_call" if self._plan.tools.legacy else "tool_calls"
        return last.finish_reason or "stop"

    def _read(self, delta: TextDelta) -> list[Event]:
        """Token by token, if there are several: so each can be told to be reasoning or not."""
        parser = self._parser
        found: list[Event] = []
        for text, tokens in self._pieces(delta):
            before = parser.thinking
            new = parser.feed(text)
            found += new
            if before or self._undecided or not text.isspace():
                self._undecided += tokens
            if before or parser.thinking:
                self.reasoning_tokens += self._undecided
            if new or before or parser.thinking:
                self._undecided = 0
        return found

    def _pieces(self, delta: TextDelta) -> Iterator[tuple[str, int]]:
        """The text, cut where tokens end, each piece with the number of tokens that end there."""
        start = 0
        for token in delta.tokens:
            end = min(max(token.end - self._at, start), len(delta.text))
            yield delta.text[start:end], 1
            start = end
        if start < len(delta.text):
            yield delta.text[start:], 0
        self._at += len(delta.text)

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

    def _call_id(self, event: CallStarted) -> str:
        """The model's own, unless it has given it to another call."""
        new = (self._plan.format.format.call_id(event.name, number) for number in count(event.index))
        given = [event.id] if event.id else []
        found = next(known for known in chain(given, new) if known not in self._ids)
        self._ids.add(found)
        return found

    def _started(self, event: CallStarted) -> Delta:
        self._calls, self._open_call = event.index + 1, True
        tools, name = self._plan.tools, event.name
        if tools.legacy:
            first = FunctionText(name=name, arguments="")
            return FunctionCallDelta(first)
        call_id = self._call_id(event)
        if name in tools.custom:
            self._inputs[event.index] = CustomInput()
            custom = CustomText(name=name, input="")
            return ToolCallsDelta([ToolCallDelta(event.index, call_id, "custom", custom=custom)])
        function = FunctionText(name=name, arguments="")
        return ToolCallsDelta([ToolCallDelta(event.index, call_id, "function", function=function)])

    def _continued(self, event: CallArguments) -> Delta | None:
        index, text = event.index, event.text
        if self._plan.tools.legacy:
            return FunctionCallDelta(FunctionText(arguments=text))
        if (custom := self._inputs.get(index)) is not None:
            more = custom.feed(text)
            return ToolCallsDelta([ToolCallDelta(index, custom=CustomText(input=more))]) if more else None
        return ToolCallsDelta([ToolCallDelta(index, function=FunctionText(arguments=text))])


def _joined(last: Delta, delta: Delta) -> bool:
    """Add to the last delta, if both are content or both are reasoning."""
    if isinstance(last, ContentDelta) and isinstance(delta, ContentDelta):
        last.content += delta.content
    elif isinstance(last, ReasoningDelta) and isinstance(delta, ReasoningDelta):
        last.reasoning_content = last.reasoning = last.reasoning + delta.reasoning
    else:
        return False
    return True
