"""What a chat template can take, found by rendering small conversations with it.

Asking the template is surer than reading it: it handles a kind of content if a word inside arrives in the prompt as
itself, not wrapped in the notation of the data around it and not with an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from server.chat.messages import Style
from server.errors import APIError

WORD = "Quokka7"
NOTATION = (f"'text': '{WORD}", f'"text": "{WORD}', f"{{'{WORD}", f'\\"{WORD}')
"""How the word looks if a part was printed as data, an object in Python's notation, or JSON text once more as JSON."""

ContentOfCalls = Literal["absent", "empty", "null"]
CONTENT_OF_CALLS: dict[ContentOfCalls, dict[str, Any]] = {
    "absent": {},
    "empty": {"content": ""},
    "null": {"content": None},
}

Render = Callable[[dict[str, Any]], str]
Conversation = list[dict[str, Any]]

ASK: dict[str, Any] = {"role": "user", "content": "Hi"}
_PARAMETERS = {"type": "object", "properties": {"x": {"type": "string", "description": "x"}}, "required": ["x"]}
TOOL = {"type": "function", "function": {"name": WORD, "description": "Does it.", "parameters": _PARAMETERS}}


def probe(source: str, render: Render) -> Style:
    """`render` takes the template's variables and raises an APIError where the template fails."""

    no_tools: list[dict[str, Any]] | None = None

    def shows(messages: Conversation, tools: list[dict[str, Any]] | None = None) -> bool:
        tools = no_tools if tools is None else tools
        try:
            text = render({"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": False})
        except APIError:
            return False
        return WORD in text and not any(sign in text for sign in NOTATION)

    if not shows(TALKS["user"](WORD)):
        no_tools = []
        no_tools = no_tools if shows(TALKS["user"](WORD)) else None
    parts = frozenset(role for role in TALKS if shows(TALKS[role]([{"type": "text", "text": WORD}])))
    strings = frozenset(role for role in parts if shows(TALKS[role](WORD)))
    content, as_object, as_text = _calls(shows)
    return Style(
        parts_roles=parts,
        only_parts_roles=parts - strings,
        developer="developer" in source,
        string_arguments=as_text and not as_object,
        system="system" in parts or shows(TALKS["system"](WORD)),
        tools=shows([ASK], [TOOL]),
        calls=as_object or as_text,
        results=shows([*TALKS["assistant"]("Hm.")[:2], *_calling({}, result=WORD)[2:]]),
        content_of_calls=content,
        tools_as_list=no_tools is not None,
    )


def _calls(shows: Callable[[Conversation], bool]) -> tuple[ContentOfCalls, bool, bool]:
    """How a message that is only calls must be for the template to show them; and whether it shows arguments that are
    an object, and JSON text."""
    for content in CONTENT_OF_CALLS:
        as_object, as_text = shows(_calling({WORD: 1}, content)), shows(_calling(f'{{"{WORD}": 1}}', content))
        if as_object or as_text:
            return content, as_object, as_text
    return "absent", False, False


def _calling(arguments: Any, content: ContentOfCalls = "absent", result: Any = "1") -> Conversation:
    call = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [
        ASK,
        {"role": "assistant", "tool_calls": [call], **CONTENT_OF_CALLS[content]},
        {"role": "tool", "tool_call_id": "call00001", "name": "f", "content": result},
    ]


TALKS: dict[str, Callable[[Any], Conversation]] = {
    "system": lambda content: [{"role": "system", "content": content}, ASK],
    "developer": lambda content: [{"role": "developer", "content": content}, ASK],
    "user": lambda content: [{"role": "user", "content": content}],
    "assistant": lambda content: [ASK, {"role": "assistant", "content": content}, ASK],
    "tool": lambda content: _calling({"x": 1}, result=content),
}
"""For each role, a conversation that templates accept, with this content in a message of the role."""
