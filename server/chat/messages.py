"""Messages of the OpenAI API, as chat templates expect them.

Templates differ in what they can take, so `Style` says what a template was found to handle (`probe.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

Message = Mapping[str, Any]

REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Names under which clients send an assistant's earlier reasoning; templates read the first two."""


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """What a template handles. The defaults suit most."""

    parts_roles: frozenset[str] = frozenset()
    """Roles whose content it takes as a list of parts."""
    only_parts_roles: frozenset[str] = frozenset()
    """Roles whose content it doesn't take as a string."""
    developer: bool = False
    """It knows the role `developer`."""
    string_arguments: bool = False
    """It takes a tool call's arguments as JSON text only, not as an object."""
    system: bool = True
    """It takes system messages."""
    tools: bool = True
    """It describes the tools that it is given."""
    calls: bool = True
    """It shows what tools were called with."""
    results: bool = True
    """It shows messages of the role `tool`, also behind one without calls."""
    content_of_calls: Literal["absent", "empty", "null"] = "absent"
    """How it takes a message that is only calls."""
    tools_as_list: bool = False
    """It fails if there are no tools, unless that is an empty list."""


def for_template(messages: Sequence[Message], style: Style) -> list[dict[str, Any]]:
    """Copies of `messages`, without their nulls, in the template's style."""
    return [_message(message, style) for message in messages]


def _message(message: Message, style: Style) -> dict[str, Any]:
    copy = {key: value for key, value in message.items() if value is not None}
    if copy.get("role") == "developer" and not style.developer:
        copy["role"] = "system"
    if copy.get("role") == "assistant" and not copy.get("content"):
        copy |= _no_content(copy, style)
    if "content" in copy:
        copy["content"] = _content(copy["content"], str(copy.get("role")), style)
    if copy.get("tool_calls"):
        copy["tool_calls"] = [_tool_call(call, style) for call in copy["tool_calls"]]
    reasoning = next((copy[field] for field in REASONING_FIELDS if field in copy), None)
    if reasoning is not None:  # in the order in which Transformers has them
        copy = {"thinking": reasoning, **copy, "reasoning_content": reasoning}
    return copy


def _no_content(message: Message, style: Style) -> dict[str, Any]:
    """What a message without a text has in its place: templates rely on different things there."""
    if not message.get("tool_calls"):
        return {"content": message.get("refusal", "")}
    if style.content_of_calls == "absent":
        return {}
    return {"content": "" if style.content_of_calls == "empty" else None}


def _content(content: Any, role: str, style: Style) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if role in style.only_parts_roles else content
    if not isinstance(content, list):
        return content
    if role in style.parts_roles:
        return [{"type": "text", "text": _text(part)} if _is_refusal(part) else part for part in content]
    return "\n".join(_text(part) for part in content)


def _is_refusal(part: Any) -> bool:
    """An assistant's earlier refusal: to templates a kind of text."""
    return isinstance(part, Mapping) and part.get("type") == "refusal"


def _text(part: Any) -> str:
    if isinstance(part, Mapping):
        return str(part.get("text", part.get("refusal", "")))
    return str(part)


def _tool_call(call: Message, style: Style) -> dict[str, Any]:
    """Most templates print `arguments` through `tojson`, so JSON text is parsed first."""
    function = call.get("function")
    if not isinstance(function, Mapping) or "arguments" not in function:
        return dict(call)
    arguments = function["arguments"]
    if style.string_arguments:
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
    elif isinstance(arguments, str):
        arguments = _parsed(arguments)
    return {**call, "function": {**function, "arguments": arguments}}


def _parsed(arguments: str) -> Any:
    """The object that the text spells; other text is left as it is."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    return value if isinstance(value, dict) else arguments
