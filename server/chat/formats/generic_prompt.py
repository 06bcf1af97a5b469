"""Conversations for chat templates that can't take all of them. Where they know no tools, those are described in the
system prompt, and calls and their results become ordinary messages; where they refuse system messages, users say it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

_INSTRUCTIONS = """\
# Tools

You can call functions to help with the user's request. These are the functions, one JSON description per line:
{tools}

To call a function, write its name and arguments as JSON between tags, and nothing after them:
<tool_call>
{{"name": "function-name", "arguments": {{"argument-name": "value"}}}}
</tool_call>
For several calls, write one such block for each. Results come between <tool_response> tags.
If no function helps, answer in plain text."""

SYSTEM_ROLES = ("system", "developer")

Message = Mapping[str, Any]
Printed = Callable[[Sequence[tuple[str, Mapping[str, Any]]]], str | None]


def with_tools(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], *, system_role: bool = True
) -> list[dict[str, Any]]:
    """The conversation for a template without tools.

    `tools` are descriptions as OpenAI's requests have them. `system_role`: the template takes system messages; else
    what belongs there goes before the first user message.
    """
    spoken = [_spoken(message) for message in messages]
    described = _INSTRUCTIONS.format(tools="\n".join(_description(tool) for tool in tools))
    first = spoken[0] if spoken else None
    if first is not None and first["role"] in SYSTEM_ROLES:
        described = f"{_text(first.get('content'))}\n\n{described}"
        spoken = spoken[1:]
    if system_role:
        return [{"role": "system", "content": described}, *_joined(spoken)]
    if spoken and spoken[0]["role"] == "user":
        described = f"{described}\n\n{_text(spoken[0].get('content'))}"
        spoken = spoken[1:]
    return [{"role": "user", "content": described}, *_joined(spoken)]


def with_calls(messages: Sequence[Message], printed: Printed, *, results: bool) -> list[dict[str, Any]]:
    """The conversation for a template that shows no calls: they become text.

    `printed`: writes calls as this model does. `results`: the template shows messages of the role `tool`.
    """
    return _joined(
        [dict(message) if results and message["role"] == "tool" else _spoken(message, printed) for message in messages]
    )


def without_system(messages: Sequence[Message]) -> Sequence[Message]:
    """The conversation for a template that refuses system messages, or leaves them out: they go before what the user
    says next, or are a user's message of their own."""
    if not any(message["role"] in SYSTEM_ROLES for message in messages):
        return messages
    return _joined([_as_user(message) for message in messages], "\n\n")


def _as_user(message: Message) -> dict[str, Any]:
    """What the system says as if the user said it; other messages as they are."""
    if message["role"] in SYSTEM_ROLES:
        return {"role": "user", "content": _text(message.get("content"))}
    return dict(message)


def _description(tool: Mapping[str, Any]) -> str:
    return json.dumps(tool.get("function", tool), ensure_ascii=False)


def _spoken(message: Message, printed: Printed = lambda calls: None) -> dict[str, Any]:
    """A message with neither calls nor the role `tool`."""
    role = message["role"]
    if role in ("tool", "function"):
        return {"role": "user", "content": f"<tool_response>\n{_text(message.get('content'))}\n</tool_response>"}
    calls = [call["function"] for call in message.get("tool_calls") or () if "function" in call]
    if legacy := message.get("function_call"):
        calls.append(legacy)
    if not calls:
        return dict(message)
    kept = {key: value for key, value in message.items() if key not in ("tool_calls", "function_call")}
    text = _text(message.get("content"))
    own = printed([(call["name"], _arguments(call["arguments"])) for call in calls])
    return {**kept, "content": "\n".join([*([text] if text else []), *([own] if own else map(_call, calls))])}


def _arguments(arguments: Any) -> Mapping[str, Any]:
    """Empty where the text is no object."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return {}
    return arguments if isinstance(arguments, Mapping) else {}


def _call(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    name = json.dumps(function["name"], ensure_ascii=False)
    return f'<tool_call>\n{{"name": {name}, "arguments": {text or "{}"}}}\n</tool_call>'


def _joined(messages: Sequence[dict[str, Any]], between: str = "\n") -> list[dict[str, Any]]:
    """Neighbouring messages of users, such as results of several calls, in one: templates want users and assistants to
    take turns."""
    joined: list[dict[str, Any]] = []
    for by_user, turns in groupby(messages, lambda message: message["role"] == "user"):
        first, *others = turns
        if by_user and others:
            content = between.join(_text(turn.get("content")) for turn in (first, *others))
            joined.append({**others[-1], **first, "content": content})
        else:
            joined += [first, *others]
    return joined


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""
