"""Arguments written as one element each, their values as plain text: `<parameter=city>Oslo</parameter>`.

A value ends at its closing marker, if what follows is what follows an argument: else the marker is part of the text.
"""

from __future__ import annotations

import json

import msgspec

from server.chat.formats import schema
from server.chat.formats.grammar import SPACE, Grammar, quoted
from server.chat.formats.json_text import read_value
from server.chat.formats.markers import markers
from server.chat.formats.object_writer import ObjectWriter
from server.chat.formats.reader import Malformed, Reader, Steps, Write
from server.chat.formats.tools import Tool
from server.chat.formats.typed_text import as_json

NAME = r"/[^<>\"\n]{1,200}/"
"""An argument's name, where the schema lists none."""


class Elements(msgspec.Struct, frozen=True):
    """How a format writes an argument."""

    before_name: str
    after_name: str
    """Behind the name, to the value's start; with the newline, where values stand on lines of their own."""
    close: str
    after: tuple[str, ...]
    """What comes after an argument: one of these, after any whitespace."""
    space: str = ""
    """What is written behind `close`."""
    lines: bool = False
    """A value stands on lines of its own: the newlines at its start and its end aren't part of it."""
    after_string_name: str = ""
    """The same as `after_name` for strings, if it differs."""
    open_value: str = ""
    """Where the value is an element of its own; a little whitespace may then come before it, and after it."""


def read_element(
    reader: Reader,
    arguments: ObjectWriter,
    elements: Elements,
    tool: Tool | None,
    name: str,
    *,
    string: bool | None = None,
) -> Steps[None]:
    """Read an argument's value and the closing marker. `string`: whether it says itself that it is one."""
    allowed = tool.types(name) if tool is not None and string is None else frozenset()
    arguments.key(name)
    if "string" not in allowed and (allowed or string is False):
        value = yield from _read_json(reader, elements)
        if value is not None:
            arguments.write(as_json(value, allowed))
            return
    if string or allowed == {"string"}:
        arguments.write('"')
        yield from _read_value(reader, elements, arguments.text)
        arguments.write('"')
        return
    parts: list[str] = []
    try:
        yield from _read_value(reader, elements, parts.append)
    except Malformed:
        if parts:
            arguments.write(as_json("".join(parts), allowed))
        raise
    arguments.write(as_json("".join(parts), allowed))


def _read_json(reader: Reader, elements: Elements) -> Steps[str | None]:
    """JSON with strings inside, which may hold what looks like the marker; None if it is something else."""
    parts: list[str] = []
    try:
        yield from reader.spaces()
        if (yield from reader.peek()) not in ("{", "["):
            raise Malformed
        yield from read_value(reader, parts.append)
        yield from reader.spaces()
        yield from reader.expect(elements.close)
    except Malformed:
        reader.rewind()
        return None
    return "".join(parts)


def _read_value(reader: Reader, elements: Elements, write: Write) -> Steps[None]:
    write = _Lines(write).add if elements.lines else write
    close = markers(elements.close)
    while True:
        marker = yield from reader.until(close, write)
        if marker is None:
            raise Malformed
        if (yield from reader.before(*elements.after, end=True)):
            return
        write(marker)


class _Lines:
    """Text without a newline at its start and one at its end."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._first = True
        self._held = ""

    def add(self, text: str) -> None:
        text = self._held + (text.removeprefix("\n") if self._first else text)
        self._first = False
        shown = text.removesuffix("\n")
        self._held = text[len(shown) :]
        if shown:
            self._write(shown)


def write_elements(grammar: Grammar, tool: Tool, elements: Elements) -> str:
    """The body of a rule for a call's arguments, in the schema's order; "" if it has none."""
    names = schema.names(tool.parameters)
    if not names:
        return _write_any(grammar, elements) if tool.schema.get("additionalProperties", True) else ""
    needed = schema.required(tool.parameters)
    bodies = []
    for name in names:
        opening = _write_opening(grammar, elements, quoted(name), string=_is_string(tool.types(name)))
        argument = grammar.rule("argument", f"{opening} {_write_value(grammar, elements, tool, name)}")
        bodies.append(argument + ("" if name in needed else "?"))
    return " ".join(bodies)


def _write_any(grammar: Grammar, elements: Elements) -> str:
    body = f"{_write_opening(grammar, elements, NAME, string=True)} {_write_text(grammar, elements)}"
    return grammar.rule("argument", body) + "*"


def _write_opening(grammar: Grammar, elements: Elements, name: str, *, string: bool) -> str:
    after_name = elements.after_string_name if string and elements.after_string_name else elements.after_name
    opening = f"{grammar.literal(elements.before_name)} {name} {grammar.literal(after_name)}"
    return f"{opening} {SPACE} {grammar.literal(elements.open_value)}" if elements.open_value else opening


def _is_string(allowed: frozenset[str]) -> bool:
    """Whether the value is written as plain text."""
    return "string" in allowed or not allowed


def _write_value(grammar: Grammar, elements: Elements, tool: Tool, name: str) -> str:
    root = tool.schema
    argument = schema.argument(root, name)
    if not _is_string(tool.types(name)):
        values = grammar.json(schema.standalone(argument, root), strict=tool.strict)
    elif (listed := schema.choices(schema.resolved(argument, root))) is not None:
        texts = (value if isinstance(value, str) else json.dumps(value) for value in listed)
        values = grammar.rule("value", " | ".join(map(quoted, texts)))
    else:
        return _write_text(grammar, elements, schema.whole_pattern(argument))
    return f"{values} {grammar.literal(_line(elements) + elements.close)} {_space(grammar, elements)}"


def _write_text(grammar: Grammar, elements: Elements, pattern: str | None = None) -> str:
    """The text ends with the first marker, as it does for `read_element` then: something of `after` follows."""
    marker = elements.close if pattern is None else _line(elements) + elements.close
    return f"{grammar.until(marker, pattern=pattern)} {_space(grammar, elements)}"


def _line(elements: Elements) -> str:
    return "\n" if elements.lines else ""


def _space(grammar: Grammar, elements: Elements) -> str:
    return SPACE if elements.open_value else grammar.literal(elements.space)
