"""What a chat template can take, found by rendering small conversations with it.

Asking the template is surer than reading it: it handles a kind of content if a word inside arrives in the prompt as
itself, not wrapped in the notation of the data around it and not with an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.chat.messages import Style
from server.errors import APIError

WORD = "Quokka7"
NOTATION = (f"'text': '{WORD}", f'"text": "{WORD}', f"{{'{WORD}", f'\\"{WORD}')
"""How the word looks if a part was printed as data, an object in Python's notation, or JSON text once more as JSON."""

Render = Callable[[dict[str, Any]], str]
Conversation = list[dict[str, Any]]

ASK: dict[str, Any] = {"role": "user", "content": "Hi"}


def probe(source: str, render: Render) -> Style:
    """`render` takes the template's variables and raises an APIError where the template fails."""

    def shows(messages: Conversation) -> bool:
        try:
            text = render({"messages": messages, "tools": None, "documents": None, "add_generation_prompt": False})
        except APIError:
            return False
        return WORD in text and not any(sign in text for sign in NOTATION)

    parts = frozenset(role for role in TALKS if shows(TALKS[role]([{"type": "text", "text": WORD}])))
    strings = frozenset(role for role in parts if shows(TALKS[role](WORD)))
    return Style(
        parts_roles=parts,
        only_parts_roles=parts - strings,
        developer="developer" in source,
        string_arguments=not shows(_calling({WORD: 1})) and shows(_calling(f'{{"{WORD}": 1}}')),
    )


def _calling(arguments: Any, result: Any = "1") -> Conversation:
    call = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [
        ASK,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call00001", "name": "f", "content": result},
    ]


TALKS: dict[str, Callable[[Any], Conversation]] = {
    "system": lambda content: [{"role": "system", "content": content}, ASK],
    "developer": lambda content: [{"role": "developer", "content": content}, ASK],
    "user": lambda content: [{"role": "user", "content": content}],
    "assistant": lambda content: [ASK, {"role": "assistant", "content": content}, ASK],
    "tool": lambda content: _calling({"x": 1}, content),
}
"""For each role, a conversation that templates accept, with this content in a message of the role."""
