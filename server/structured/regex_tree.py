"""Regular expressions, read into what they are made of: for those who write them in another way.

The syntax is that of `regex.py`, whose checks come first; what can't be told apart here is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from server.chat.formats.grammar import regex

_PRINTED = [char for char in map(chr, range(32, 128)) if char not in '"\\']
_FAR = re.compile(r"\\[xu]|\[\^")
"""In a class of ASCII, what may stand for other characters."""
ESCAPED = ('"', "\\", *map(chr, range(32)))
"""The characters that JSON strings can't have as they are."""


class Chars(NamedTuple):
    """One character."""

    plain: str
    """A regular expression for those of its values that aren't of `ESCAPED`; "" if there are none."""
    escaped: str = ""
    """The others."""


class Unknown(NamedTuple):
    """Text without characters of `ESCAPED`."""

    written: str


class Run(NamedTuple):
    parts: tuple[Tree, ...]


class Either(NamedTuple):
    parts: tuple[Tree, ...]


class Times(NamedTuple):
    part: Tree
    low: int
    high: int | None


Tree = Chars | Unknown | Run | Either | Times


class Unreadable(ValueError):
    """The message says what."""


def literal(char: str) -> Chars:
    return Chars("", char) if char in ESCAPED else Chars(regex(char))


def text(chars: str) -> Tree:
    return Run(tuple(map(literal, chars)))


@lru_cache(1000)
def character_class(source: str) -> Chars:
    """`[…]`, or an escape like one."""
    if _FOREIGN.search(source, 1):
        raise Unreadable(f"{source[:40]!r} is not understood here")
    try:
        matches = re.compile(source, re.ASCII | re.DOTALL).fullmatch
    except re.error:
        raise Unreadable(f"{source[:40]!r} is not understood here") from None
    escaped = "".join(char for char in ESCAPED if matches(char))
    slashed = re.sub(r"(?<!\\)/", r"\\/", source)  # it will stand between slashes
    if not escaped:
        return Chars(slashed)
    if source.isascii() and not _FAR.search(source) and not any(map(matches, _PRINTED)):
        return Chars("", escaped)
    return Chars(rf'[{slashed}--["\\\x00-\x1f]]', escaped)


def tree(pattern: str, flags: str = "") -> Tree:
    """Raises Unreadable."""
    return _Reader(pattern, dot_all="s" in flags).read()


def parts_of(tree: Tree) -> tuple[Tree, ...]:
    match tree:
        case Chars() | Unknown():
            return ()
        case Times(part=part):
            return (part,)
    return tree.parts


def any_case(found: Tree) -> Tree:
    """The same in capital and small letters."""
    match found:
        case Unknown():
            return found
        case Chars(plain=plain, escaped=more):
            return Chars(f"(?i:{plain})" if plain else "", more)
        case Times(part=part, low=low, high=high):
            return Times(any_case(part), low, high)
        case Run(parts=parts):
            return Run(tuple(map(any_case, parts)))
        case Either(parts=parts):
            return Either(tuple(map(any_case, parts)))


_FOREIGN = re.compile(r"(?<!\\)\[|&&|--|~~|\\[pPxuU]\{|\\[^dDwWsSntrfvaxu\W]")
"""In a class, what Python would read in another way than Rust."""
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*+\]", re.DOTALL)
_PROPERTY = re.compile(r"\\p(?:\{[LNM][a-z]?\}|[LNM])")
"""Of letters, digits and marks: none of them is of `ESCAPED`."""
_CODE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|[xu]\{([0-9a-fA-F]{1,6})\})")
_COUNT = re.compile(r"\{\s*+(\d*+)\s*+(,\s*+(\d*+)\s*+)?+\}", re.ASCII)
_GROUP = re.compile(r"\((?:\?:|\?P?<\w++>)?+(?!\?)")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}


class _Reader:
    def __init__(self, pattern: str, *, dot_all: bool) -> None:
        self._pattern = pattern
        self._dot = Chars(r'[^"\\\x00-\x1f]', "".join(char for char in ESCAPED if dot_all or char != "\n"))
        self._at = 0

    def read(self) -> Tree:
        whole = self._alternatives()
        if self._at < len(self._pattern):
            raise Unreadable("a group is closed that was not opened")
        return whole

    def _alternatives(self) -> Tree:
        parts = [self._run()]
        while self._take("|"):
            parts.append(self._run())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _run(self) -> Tree:
        parts: list[Tree] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            parts.append(self._quantified(self._atom()))
        return parts[0] if len(parts) == 1 else Run(tuple(parts))

    def _quantified(self, part: Tree) -> Tree:
        while (bounds := self._bounds()) is not None:
            self._take("?")  # only says which match is preferred
            part = Times(part, *bounds)
        return part

    def _bounds(self) -> tuple[int, int | None] | None:
        for mark, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(mark):
                return bounds
        if (count := _COUNT.match(self._pattern, self._at)) is None or not (count[1] or count[3]):
            return None
        self._at = count.end()
        low = int(count[1] or 0)
        return low, low if count[2] is None else int(count[3]) if count[3] else None

    def _take(self, char: str) -> bool:
        found = self._pattern.startswith(char, self._at)
        self._at += found
        return found

    def _found(self, kind: re.Pattern[str]) -> re.Match[str] | None:
        found = kind.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _atom(self) -> Tree:
        char = self._pattern[self._at]
        if char == "(":
            if self._found(_GROUP) is None:
                raise Unreadable(f"a group of this kind is not understood: {self._pattern[self._at :][:20]!r}")
            inner = self._alternatives()
            if not self._take(")"):
                raise Unreadable("a group is not closed")
            return inner
        if char == "[":
            if (found := self._found(_CLASS)) is None:
                raise Unreadable("a class is not closed")
            return character_class(found[0])
        if char in "^$":
            raise Unreadable(f"{char!r} is not understood here")
        if char == "\\":
            return self._escape()
        self._at += 1
        if char == ".":
            return self._dot
        return literal(char)

    def _escape(self) -> Tree:
        if found := self._found(_PROPERTY):
            return Chars(found[0])
        if found := self._found(_CODE):
            return literal(chr(int(found[1] or found[2] or found[3], 16)))
        kind = self._pattern[self._at + 1 : self._at + 2]
        self._at += 2
        if kind in tuple("dDwWsS"):
            return character_class(f"[\\{kind}]")
        if kind in _CONTROLS:
            return literal(_CONTROLS[kind])
        if not kind or kind.isalnum():
            raise Unreadable(f"'\\{kind}' is not understood here")
        return literal(kind)
