"""Custom tools: to a model, functions whose one argument is a text."""

from __future__ import annotations

import json
import re

from server.chat.formats.json_text import read_string
from server.chat.formats.reader import Malformed, Reader, Steps
from server.chat.formats.tools import Tool

ARGUMENT = "input"

_HIGH_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")


def custom_tool(name: str, pattern: str | None = None, rule: str | None = None) -> Tool:
    """The function that stands for a custom tool. `pattern`: a regular expression for its whole input; `rule`: see
    `Tool.input_rule`."""
    text = {"type": "string"} if pattern is None else {"type": "string", "pattern": f"^(?:{pattern})$"}
    schema = {"type": "object", "properties": {ARGUMENT: text}, "required": [ARGUMENT], "additionalProperties": False}
    return Tool(name, schema, strict=True, input_rule=rule)


class CustomInput:
    """The input of one call, out of its arguments as they come."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._parts: list[str] = []
        self._half = ""
        self._steps = self._read()

    def feed(self, arguments: str) -> str:
        """What the input grows by. Arguments that hold no input, or break off, add nothing."""
        self._reader.push(arguments)
        next(self._steps, None)
        self._reader.commit()
        text, self._parts = "".join(self._parts), []
        return text

    def _read(self) -> Steps[None]:
        reader = self._reader
        try:
            for text in ("{", f'"{ARGUMENT}"', ":"):
                yield from reader.spaces()
                yield from reader.expect(text)
            yield from reader.spaces()
            yield from read_string(reader, self._decode)
        except Malformed:
            pass

    def _decode(self, piece: str) -> None:
        """A piece of the string: a quotation mark, plain characters, or one escape."""
        if piece == '"':
            return
        if _HIGH_HALF.fullmatch(piece):
            self._half = piece
            return
        piece, self._half = self._half + piece, ""
        self._parts.append(json.loads(f'"{piece}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
