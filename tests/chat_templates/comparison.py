"""One template: whether we render it as Transformers does, and what we take its model's format for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from server.chat.dialect import Dialect
from server.chat.formats.tools import Tool
from server.chat.template import ChatTemplate, ChatTemplateError
from tests.chat_templates.conversations import ARGUMENTS, ASK, CALL, CONVERSATIONS, TOOL, Conversation, Message
from tests.chat_templates.reference import TOKENS, Refusal, apply_chat_template, as_documented, changing_lists
from tests.server.chat_formats.message import Message as Parsed
from tests.server.scripted import INFO


class Rendering(NamedTuple):
    """One conversation."""

    conversation: str
    same: bool
    ours: str
    theirs: str
    adapted: tuple[str, ...] = ()
    """What was changed in the messages before both rendered them; nothing where that wasn't needed."""
    left_out: tuple[str, ...] = ()
    """What the prompt doesn't say of the conversation."""

    @property
    def refused(self) -> bool:
        """By both."""
        return self.same and isinstance(self.ours, Refusal)


class Comparison(NamedTuple):
    name: str
    format: str
    """How its models call, as recognised; "generic" where they are told how."""
    thinking: str
    describes_tools: bool
    read: str
    """Whether a call that the template prints is read back by this format: "yes", or why not."""
    renderings: list[Rendering]

    @property
    def same(self) -> bool:
        return all(rendering.same for rendering in self.renderings)


class _Recorded(ChatTemplate):
    """Keeps what it last gave to the template."""

    given: dict[str, Any]

    def _run(self, context: dict[str, Any], end: float | None = None) -> str:
        self.given = context
        return super()._run(context, end)


def compare(name: str, source: str) -> Comparison:
    template = _Recorded(source, TOKENS)
    dialect = Dialect(template, INFO)
    chat_format = dialect.format(tools=True)
    thinking = chat_format.thinking.open if chat_format.thinking else ""
    return Comparison(
        name,
        chat_format.format.name,
        thinking or ("in the format" if chat_format.format.has_thinking else ""),
        template.style.tools,
        _read_back(dialect) if dialect.knows_tools and template.style.calls else "",
        [_rendering(dialect, template, conversation) for conversation in CONVERSATIONS],
    )


def _rendering(dialect: Dialect, template: _Recorded, conversation: Conversation) -> Rendering:
    ours = _ours(dialect, conversation.messages, conversation.tools)
    documented = as_documented(conversation.messages)
    theirs = apply_chat_template(template.source, documented, conversation.tools or None)
    left_out = tuple(word for word in conversation.words if word not in ours)
    if ours == theirs or (isinstance(ours, Refusal) and isinstance(theirs, Refusal)):
        return Rendering(conversation.name, True, ours, theirs, left_out=() if isinstance(ours, Refusal) else left_out)
    messages, tools = template.given["messages"], template.given["tools"]
    adapted = [*_adaptations(conversation, messages, tools, describes=template.style.tools)]
    theirs = apply_chat_template(template.source, messages, tools)
    if isinstance(theirs, Refusal) and "'append' of 'list' object is unsafe" in theirs:
        adapted.append("lists changed")
        theirs = changing_lists(template.source, messages, tools)
    return Rendering(conversation.name, ours == theirs, ours, theirs, tuple(adapted), left_out)


def _ours(dialect: Dialect, messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, anew: bool = True) -> str:
    try:
        return dialect.render(messages, tools, add_generation_prompt=anew, variables={})
    except ChatTemplateError as error:
        return Refusal(error.message)


def _adaptations(
    conversation: Conversation, messages: Sequence[Message], tools: Any, *, describes: bool
) -> Iterator[str]:
    """How what the template was given differs from what Transformers documents."""
    if conversation.tools and not tools:
        yield "format not read" if describes else "no tools"
    if tools == []:
        yield "`tools` []"
    if _has_system(conversation.messages) and not _has_system(messages):
        yield "no system role"
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    if not calls and any(message.get("tool_calls") for message in conversation.messages):
        yield "calls as text"
    if any(isinstance(call["function"]["arguments"], str) for call in calls):
        yield "arguments as text"
    if any(isinstance(message.get("content"), list) for message in messages):
        yield "content in parts"
    for message in messages:
        if message.get("tool_calls") and "content" in message and not message["content"]:
            yield f"content {json.dumps(message['content'])}"


def _has_system(messages: Sequence[Message]) -> bool:
    return any(message["role"] == "system" for message in messages)


def _read_back(dialect: Dialect) -> str:
    """Print a call by the template, and read it by the format."""
    prompt = _ours(dialect, [ASK], [TOOL])
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    whole = _ours(dialect, [ASK, answer], [TOOL], anew=False)
    if isinstance(whole, Refusal):  # it wants the result to follow
        return "refused"
    if marks := dialect.own_format.thinking:  # earlier turns may lack a block that prompts open, or open and close
        prompt = prompt.rstrip().removesuffix(marks.close).rstrip().removesuffix(marks.open)
    start = next(at for at in range(len(prompt), -1, -1) if whole.startswith(prompt[:at]))
    description: dict[str, Any] = TOOL["function"]  # type: ignore[assignment]  # an object
    parser = dialect.own_format.parser([Tool(description["name"], description["parameters"])], prompt[:start])
    found = Parsed()
    found.add(parser.feed(whole[start:]) + parser.finish())
    calls = [(call.name, json.loads(call.arguments or "null")) for call in found.calls if call.complete]
    return "yes" if calls == [("get_weather", ARGUMENTS)] else "no"
