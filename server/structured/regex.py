"""Regular expressions from clients: those of JSON schemas (`pattern`), and those for a whole output.

llguidance reads the syntax of Rust's `regex`, which is JavaScript's and Python's but for lookaround, backreferences and
word boundaries. It unrolls counted repetitions: `(a{1000}){1000}` is a million states, at seconds for each token.
"""

from __future__ import annotations

import re

from llguidance import regex_to_lark

from server.structured.place import Place

MAX_LENGTH = 16_384
"""Characters."""
MAX_SIZE = 10_000
"""Characters and classes with all repetitions written out."""
MAX_DEPTH = 100
"""Groups in each other."""

_COUNT = re.compile(r"\{\s*(\d*)\s*(,\s*(\d*)\s*)?\}", re.ASCII)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[pPxuU]\{[^}]*\}|.)", re.DOTALL)
_GROUP = re.compile(r"\((?:\?(?:P?<\w+>|[a-wyzA-Z]*(?:-[a-wyzA-Z]+)?:))?")
_FLAGS = re.compile(r"\(\?[a-wyzA-Z-]+(?=\))")
_LOOKAROUND = ("(?=", "(?!", "(?<=", "(?<!")
_NO_ESCAPES = {"b": r"\b", "B": r"\B", "Z": r"\Z", "G": r"\G", "c": r"\c", "k": "a backreference"}


def regex_rule(pattern: str, place: Place) -> str:
    """The body of a Lark rule for text that matches the whole pattern. Raises a 400."""
    if not pattern:
        raise place.error("must not be empty.")
    check_regex(pattern, place)
    return f"/{regex_to_lark(pattern, '')}/"


def check_regex(pattern: str, place: Place) -> None:
    """Raises a 400 for a pattern that llguidance can't take, or that would cost it too much."""
    if len(pattern) > MAX_LENGTH:
        raise place.error(f"must be at most {MAX_LENGTH} characters long.")
    if _size(pattern, place) > MAX_SIZE:
        raise place.error(
            f"repeats too much: with its counted repetitions written out, it must be at most {MAX_SIZE} characters."
        )


def _size(pattern: str, place: Place) -> int:
    """Of the pattern written out. Where Rust would end a class later than this, more is counted, never less."""
    sums = [0]
    last = 0
    at = 0
    while at < len(pattern):
        char = pattern[at]
        step = 1
        if found := _COUNT.match(pattern, at):
            times = max(_number(found[1]), _number(found[3]), 1)
            sums[-1] += last * (times - 1)
            last *= times
            step = len(found[0])
        elif char == "(":
            step = _open(pattern, at, place)
            sums.append(0)
            if len(sums) > MAX_DEPTH:
                raise place.error(f"has groups nested more than {MAX_DEPTH} deep.")
        elif char == ")":
            if len(sums) == 1:
                raise place.error(f"is not a regular expression: ')' at {at} closes no group.")
            last = max(sums.pop(), 1)
            sums[-1] += last
        elif char not in "*+?|^$":
            step = _atom(pattern, at, place)
            last = 1
            sums[-1] += 1
        at += step
    if len(sums) > 1:
        raise place.error("is not a regular expression: a group is not closed.")
    return sums[0]


def _number(digits: str | None) -> int:
    """One that is too large anyway need not be exact: Python refuses to read thousands of digits."""
    return int((digits or "0")[:9])


def _open(pattern: str, at: int, place: Place) -> int:
    """The length of what opens a group."""
    if pattern.startswith(_LOOKAROUND, at):
        raise place.error(f"has lookaround at {at}, which can't be enforced: {pattern[at : at + 20]!r}.")
    found = _GROUP.match(pattern, at)
    assert found is not None
    if found[0] == "(" and pattern.startswith("(?", at):
        if flags := _FLAGS.match(pattern, at):
            return len(flags[0])
        raise place.error(f"has a group at {at} of a kind that can't be enforced: {pattern[at : at + 20]!r}.")
    return len(found[0])


def _atom(pattern: str, at: int, place: Place) -> int:
    """The length of one character, class or escape."""
    if pattern[at] == "[":
        if (found := _CLASS.match(pattern, at)) is None:
            raise place.error(f"is not a regular expression: the class at {at} is not closed.")
        return len(found[0])
    if pattern[at] != "\\":
        return 1
    if (found := _ESCAPE.match(pattern, at)) is None:
        raise place.error("is not a regular expression: it ends with a single backslash.")
    kind = found[0][1]
    if kind in "123456789" or kind in _NO_ESCAPES:
        raise place.error(f"has {_NO_ESCAPES.get(kind, 'a backreference')} at {at}, which can't be enforced.")
    return len(found[0])
