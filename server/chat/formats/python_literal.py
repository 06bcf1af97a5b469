r"""Reading a Python literal that streams, written on as JSON: `{'a': (1, None), "b": 'it\'s'}`.

Numbers in all of Python's notations, strings with its escapes, lists, tuples and dicts; JSON's own constants too, as
models mix them up.
"""

from __future__ import annotations

import re

from server.chat.formats.json_string import escaped
from server.chat.formats.json_text import CONSTANTS, DEEPEST
from server.chat.formats.reader import Malformed, Reader, Steps, Write

_SCALAR = re.compile(r"[-+.\w]*")
_DECIMAL = re.compile(r"([-+]?)([0-9][0-9_]*)?(\.[0-9_]*)?([eE][-+]?[0-9]+)?")
_BASED = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]{1,100}|0[oO][0-7]{1,100}|0[bB][01]{1,100})")
_PLAIN = {quote: re.compile(rf"[^\\{quote}]*") for quote in "\"'"}
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0", "\n": ""}
_CODES = {"x": 2, "u": 4, "U": 8}


def read_value(reader: Reader, write: Write, depth: int = 0) -> Steps[None]:
    """Any value. Whitespace around it is left."""
    if depth > DEEPEST:
        raise Malformed
    start = yield from reader.peek()
    if start == "{":
        yield from _read_dict(reader, write, depth)
    elif start in ("[", "("):
        yield from _read_list(reader, write, depth, "]" if start == "[" else ")")
    elif start in ('"', "'"):
        yield from read_string(reader, write)
    else:
        write(_scalar((yield from reader.run(_SCALAR))))


def _read_dict(reader: Reader, write: Write, depth: int) -> Steps[None]:
    write((yield from reader.expect("{")))
    comma = ""
    while True:
        yield from reader.spaces()
        if (yield from reader.literal("}")):
            write("}")
            return
        write(comma)
        if (yield from reader.peek()) not in ('"', "'"):
            raise Malformed
        yield from read_string(reader, write)
        yield from reader.spaces()
        yield from reader.expect(":")
        write(": ")
        yield from reader.spaces()
        yield from read_value(reader, write, depth + 1)
        yield from reader.comma("}")
        comma = ", "


def _read_list(reader: Reader, write: Write, depth: int, end: str) -> Steps[None]:
    yield from reader.take()
    write("[")
    comma = ""
    while True:
        yield from reader.spaces()
        if (yield from reader.literal(end)):
            write("]")
            return
        write(comma)
        yield from read_value(reader, write, depth + 1)
        yield from reader.comma(end)
        comma = ", "


def read_string(reader: Reader, write: Write) -> Steps[None]:
    quote = yield from reader.take()
    write('"')
    while True:
        yield from reader.stream(_PLAIN[quote], lambda text: write(escaped(text)))
        character = yield from reader.take()
        if character == quote:
            write('"')
            return
        if not character:
            raise Malformed
        write(escaped((yield from _read_escape(reader))))


def _read_escape(reader: Reader) -> Steps[str]:
    kind = yield from reader.take()
    if not kind:
        raise Malformed
    if kind in _CODES:
        digits = ""
        for _ in range(_CODES[kind]):
            digits += yield from reader.take()
        return _character(digits)
    return _LETTERS.get(kind, kind if kind in "\\\"'" else "\\" + kind)


def _character(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except (ValueError, OverflowError):
        raise Malformed from None


def _scalar(word: str) -> str:
    if word in CONSTANTS:
        return CONSTANTS[word]
    if based := _BASED.fullmatch(word):
        return f"{based[1].strip('+')}{int(based[2], 0)}"
    decimal = _DECIMAL.fullmatch(word)
    if decimal is None:
        raise Malformed
    sign, whole, fraction, exponent = (part or "" for part in decimal.groups())
    whole, fraction = whole.replace("_", "").lstrip("0"), fraction.replace("_", "")
    if not decimal[2] and fraction in ("", "."):
        raise Malformed
    return sign.strip("+") + (whole or "0") + (fraction if len(fraction) > 1 else "") + exponent
