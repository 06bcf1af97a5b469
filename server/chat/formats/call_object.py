"""A call as a JSON object, the shape that most formats share: `{"name": "f", "arguments": {"a": 1}}`.

The object's members come in any order; `parameters` for `arguments`, an `id`, OpenAI's own nesting under `function`, a
list of such objects, and arguments as a string that holds the JSON are read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from server.chat.formats.format import Reading
from server.chat.formats.grammar import Grammar, quoted, regex
from server.chat.formats.json_text import read_object, read_string, read_value
from server.chat.formats.reader import Malformed, Reader, Steps, transcribed
from server.chat.formats.tools import Tool

NAMES = ("name", "tool_name", "function")
ARGUMENTS = ("arguments", "parameters", "args")
IDS = ("id", "tool_call_id", "call_id")

_HALF = re.compile(r"[\ud800-\udfff]")
"""Half a character: text can't hold it."""


def read_calls(reading: Reading, *, ids: bool = False) -> Steps[None]:
    """Read objects, one or several, in a list or not. Malformed where nothing more is a call.

    `ids`: those that the model writes are worth keeping.
    """
    reader = reading.reader
    listed = yield from reader.after_spaces("[")
    while True:
        yield from reader.spaces()
        yield from _Call(reading, ids=ids).read()
        separator = yield from reader.after_spaces(",", ";")
        reader.commit()
        if listed and (yield from reader.after_spaces("]")):
            reader.commit()
            return
        if separator is None and not (yield from reader.before("{")):
            return


_SPACE = r"[ \t\r\n]*"
_TYPE = _SPACE.join(('"type"', ":", '"function"', ",", ""))
BARE_HEAD = _SPACE.join((r"\{", f'({_TYPE})?"name"', ":", '"'))
"""What an object without a marker begins with, as a regular expression. A tool's name follows."""


def read_bare_call(reading: Reading) -> Steps[None]:
    """One object that begins so. Nothing of it has been read, and what was before it is committed."""
    reader = reading.reader
    yield from reader.expect("{")
    yield from reader.spaces()
    if (yield from reader.before('"type"')):
        yield from _expect(reader, '"type"', ":", '"function"', ",")
    yield from _expect(reader, '"name"', ":")
    yield from reader.expect(*(f'"{name}"' for name in reading.tools))
    reader.rewind()
    yield from _Call(reading, ids=False).read()


def _expect(reader: Reader, *texts: str) -> Steps[None]:
    """Each of them, and whitespace behind it."""
    for text in texts:
        yield from reader.expect(text)
        yield from reader.spaces()


class _Call:
    """One object. The call starts when its name and the start of its arguments are there."""

    def __init__(self, reading: Reading, *, ids: bool) -> None:
        self._reading = reading
        self._out = reading.out
        self._reader = reading.reader
        self._ids = IDS if ids else ()
        self._name: str | None = None
        self._id: str | None = None
        self._waiting: list[str] | None = None
        """Arguments that came before the name."""
        self._started = False
        self._passed_object = False
        """A member that we know nothing of might be misspelled arguments."""

    def read(self) -> Steps[None]:
        yield from self._members()
        if not self._started:
            if self._passed_object:
                raise Malformed
            self._start("{}")
        self._out.end_call()

    def _members(self, *, inner: bool = False) -> Steps[None]:
        reader = self._reader
        yield from reader.expect("{")
        while True:
            yield from reader.spaces()
            if (yield from reader.literal("}")):
                return
            key = yield from _string(reader)
            yield from reader.spaces()
            yield from reader.expect(":")
            yield from reader.spaces()
            yield from self._member(key, inner=inner)
            yield from reader.comma("}")

    def _member(self, key: str, *, inner: bool) -> Steps[None]:
        value = yield from self._reader.peek()
        if key == "function" and value == "{" and not inner:
            yield from self._members(inner=True)
        elif key in NAMES and self._name is None:
            self._name = yield from _string(self._reader)
            if self._name not in self._reading.tools:
                raise Malformed
            if self._waiting is not None:
                self._start("".join(self._waiting))
        elif key in ARGUMENTS and not self._started and self._waiting is None:
            yield from self._arguments(value)
        elif key in self._ids and value == '"' and not self._started:
            self._id = yield from _string(self._reader)
        else:
            self._passed_object = self._passed_object or value == "{"
            yield from read_value(self._reader, lambda text: None)

    def _arguments(self, first: str) -> Steps[None]:
        if first == "{":
            if self._name is not None:
                self._start("")
                yield from read_object(self._reader, self._out.arguments)
                return
            self._waiting = []
            yield from read_object(self._reader, self._waiting.append)
        else:
            self._waiting = [(yield from self._other_arguments(first))]
            if self._name is not None:
                self._start(self._waiting[0])

    def _other_arguments(self, first: str) -> Steps[str]:
        """`null`, or a string that holds an object's JSON."""
        if first == '"':
            text = yield from _string(self._reader)
            value = transcribed(text, read_object) if text else "{}"
            if value is not None:
                return value
        elif (yield from self._reader.literal("null", "None")):
            return "{}"
        raise Malformed

    def _start(self, arguments: str) -> None:
        if self._name is None:
            raise Malformed
        self._reading.start_call(self._name, self._id)
        self._started = True
        self._out.arguments(arguments)


def _string(reader: Reader) -> Steps[str]:
    """A JSON string's value."""
    parts: list[str] = []
    yield from read_string(reader, parts.append)
    value = json.loads("".join(parts))
    assert isinstance(value, str)
    return _HALF.sub("\ufffd", value)


def write_bare_call(grammar: Grammar, tools: Sequence[Tool], arguments: str) -> str:
    """The body of a rule for the rest of such an object, from the name on, which ends like a lazy rule."""
    return grammar.one_of(
        "call",
        (
            f"{grammar.rule('name', f'/{regex(tool.name)}{chr(34)}/', '[lazy]')} {quoted(f', {quoted(arguments)}: ')}"
            f" {grammar.arguments(tool)} {quoted('}')}"
            for tool in tools
        ),
    )


def write_call(
    grammar: Grammar,
    tools: Sequence[Tool],
    *,
    name: str = "name",
    arguments: str = "arguments",
    start: str = '"{"',
    end: str = '"}"',
) -> str:
    """A rule for one object, its members under these names.

    `start` and `end`, bodies of rules, are what comes before the name and behind the arguments.
    """
    return grammar.one_of(
        "call",
        (
            f"{start} {quoted(f'{quoted(name)}: {quoted(tool.name)}, {quoted(arguments)}: ')}"
            f" {grammar.arguments(tool)} {end}"
            for tool in tools
        ),
    )
