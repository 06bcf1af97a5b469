"""Reading a JSON value that streams: it is written on as it comes, and read exactly to its end.

What models get wrong is mended where there is no doubt: raw newlines and unknown escapes in strings, Python's names of
the constants, a comma after the last item. What is written is JSON always; Malformed is raised where that can't be.
"""

from __future__ import annotations

import re

from server.chat.formats.json_string import escaped
from server.chat.formats.reader import Malformed, Reader, Steps, Write

DEEPEST = 100
"""Nesting that is read. Reading recurses."""

_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]*')
_HEX = re.compile(r"[0-9a-fA-F]*")
_SCALAR = re.compile(r"[-+.\w]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
CONSTANTS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}


def read_value(reader: Reader, write: Write, depth: int = 0) -> Steps[None]:
    """Any value. Whitespace around it is left."""
    if depth > DEEPEST:
        raise Malformed
    start = yield from reader.peek()
    if start == "{":
        yield from read_object(reader, write, depth)
    elif start == "[":
        yield from _read_array(reader, write, depth)
    elif start == '"':
        yield from read_string(reader, write)
    else:
        yield from _read_scalar(reader, write)


def read_object(reader: Reader, write: Write, depth: int = 0) -> Steps[None]:
    write((yield from reader.expect("{")))
    comma = ""
    while True:
        space = yield from reader.spaces()
        if (yield from reader.literal("}")):
            write(space + "}")
            return
        write(comma + space)
        yield from read_string(reader, write)
        write((yield from reader.spaces()))
        write((yield from reader.expect(":")))
        write((yield from reader.spaces()))
        yield from read_value(reader, write, depth + 1)
        write((yield from reader.spaces()))
        yield from reader.comma("}")
        comma = ","


def _read_array(reader: Reader, write: Write, depth: int) -> Steps[None]:
    write((yield from reader.expect("[")))
    comma = ""
    while True:
        space = yield from reader.spaces()
        if (yield from reader.literal("]")):
            write(space + "]")
            return
        write(comma + space)
        yield from read_value(reader, write, depth + 1)
        write((yield from reader.spaces()))
        yield from reader.comma("]")
        comma = ","


def read_string(reader: Reader, write: Write) -> Steps[None]:
    write((yield from reader.expect('"')))
    while True:
        yield from reader.stream(_PLAIN, write)
        character = yield from reader.take()
        if character == '"':
            write('"')
            return
        if character == "\\":
            yield from _read_escape(reader, write)
        elif character:
            write(escaped(character))
        else:
            raise Malformed


def _read_escape(reader: Reader, write: Write) -> Steps[None]:
    kind = yield from reader.take()
    if kind == "u":
        digits = ""
        while len(digits) < 4:
            digit = yield from reader.take()
            if not digit or not _HEX.fullmatch(digit):
                raise Malformed
            digits += digit
        write("\\u" + digits)
    elif not kind:
        raise Malformed
    else:
        write("\\" + kind if kind in '"\\/bfnrt' else kind if kind == "'" else "\\\\" + escaped(kind))


def _read_scalar(reader: Reader, write: Write) -> Steps[None]:
    word = yield from reader.run(_SCALAR)
    if word not in CONSTANTS and not _NUMBER.fullmatch(word):
        raise Malformed
    write(CONSTANTS.get(word, word))
