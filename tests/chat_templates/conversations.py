"""The conversations that every template is given, as OpenAI's clients send them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Message = dict[str, Any]

HELLO: Message = {"role": "user", "content": "Hello <é> & 🦙"}
HI: Message = {"role": "assistant", "content": "Hi, what can I do?"}
ASK: Message = {"role": "user", "content": "Is it warm in Köln?"}
ARGUMENTS = {"city": "Köln", "days": 2}
CALL = {
    "id": "call00001",  # nine letters and digits: Mistral's templates take no others
    "type": "function",
    "function": {"name": "get_weather", "arguments": json.dumps(ARGUMENTS, ensure_ascii=False)},
}
RESULT: Message = {"role": "tool", "tool_call_id": "call00001", "content": "sunny, 25 °C"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Which city."}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
REASONING = {"reasoning_content": "They want the weather."}


class Conversation(NamedTuple):
    name: str
    messages: list[Message]
    tools: list[dict[str, Any]]
    words: tuple[str, ...]
    """What the prompt should say; templates leave things out at times."""


CONVERSATIONS = (
    Conversation("chat", [HELLO, HI, ASK], [], (HELLO["content"], HI["content"], ASK["content"])),
    Conversation("system", [{"role": "system", "content": "Be brief."}, ASK], [], ("Be brief.", ASK["content"])),
    Conversation("tools", [ASK], [TOOL], ("get_weather", "Get the weather.", "Which city.", ASK["content"])),
    Conversation(
        "call",
        [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT],
        [TOOL],
        ("Köln", "sunny", "days"),
    ),
    Conversation("thinking", [ASK, {**HI, **REASONING}, HELLO], [], (HI["content"], REASONING["reasoning_content"])),
    Conversation(
        "thinking, call",
        [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL], **REASONING}, RESULT],
        [TOOL],
        ("Köln", "sunny", REASONING["reasoning_content"]),
    ),
)
