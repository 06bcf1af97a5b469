"""Calls of earlier turns in the form that chat templates know: function calls, and `tool` messages that answer them.

Custom tools are functions with one argument (`formats/custom.py`); `function_call` and the role `function` are what
OpenAI had before tools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from server.chat.formats.custom import ARGUMENT
from server.chat.messages import Message


def as_function_calls(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Copies of the messages, where they need to differ."""
    result: list[dict[str, Any]] = []
    last_id = ""
    for number, message in enumerate(messages):
        copy = dict(message)
        if (legacy := copy.pop("function_call", None)) and not copy.get("tool_calls"):
            last_id = f"call{number:05}"  # nine letters and digits: Mistral's templates take no others
            copy["tool_calls"] = [{"id": last_id, "type": "function", "function": legacy}]
        elif copy.get("tool_calls"):
            copy["tool_calls"] = [_function_call(call) for call in copy["tool_calls"]]
        if copy.get("role") == "function":
            copy.update(role="tool", tool_call_id=last_id, content=copy.get("content") or "")
        result.append(copy)
    return result


def _function_call(call: Message) -> dict[str, Any]:
    if call.get("type") != "custom":
        return dict(call)
    custom = call["custom"]
    arguments = json.dumps({ARGUMENT: custom["input"]}, ensure_ascii=False)
    return {"id": call["id"], "type": "function", "function": {"name": custom["name"], "arguments": arguments}}
