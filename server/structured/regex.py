"""Regular expressions from clients: those of JSON schemas (`pattern`), and those for a whole output.

llguidance reads the syntax of Rust's `regex`, which is JavaScript's and Python's but for lookaround, backreferences and
word boundaries. It unrolls counted repetitions: `(a{1000}){1000}` is a million states, at seconds for each token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llguidance import regex_to_lark

from server.structured.place import Place

MAX_LENGTH = 16_384
"""Characters."""
MAX_SIZE = 10_000
"""Characters and classes with all repetitions written out."""
MAX_DEPTH = 100
"""Groups in each other."""

# What is repeated in these gives nothing back (`*+`), or can't be followed by what it could give back: the time that
# they take grows with the text's length, whatever the text is.
_COUNT = re.compile(r"\{\s*+(\d*+)\s*+(,\s*+(\d*+)\s*+)?+\}", re.ASCII)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*+\]", re.DOTALL)
_NESTED = re.compile(r"\[\^?\]?(?:[^\[\]\\]|\\.)*+\[", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[pPxuU]\{[^{}]*+\}|.)", re.DOTALL)
_GROUP = re.compile(r"\((?:\?(?:P?<\w++>|[a-wyzA-Z]*+(?:-[a-wyzA-Z]++)?+:))?")
_FLAGS = re.compile(r"\(\?[a-wyzA-Z-]++(?=\))")
_LOOKAROUND = ("(?=", "(?!", "(?<=", "(?<!")
_NO_ESCAPES = {"b": r"\b", "B": r"\B", "Z": r"\Z", "G": r"\G", "c": r"\c", "k": "a backreference"}


def regex_rule(pattern: str, place: Place) -> str:
    """The body of a Lark rule for text that matches the whole pattern. Raises a 400."""
    if not pattern:
        raise place.error("must not be empty.")
    check_regex(pattern, place)
    return f"/{regex_to_lark(pattern, '')}/"


def check_regex(pattern: str, place: Place) -> Measures:
    """Raises a 400 for a pattern that llguidance can't take, or that would cost it too much."""
    if len(pattern) > MAX_LENGTH:
        raise place.error(f"must be at most {MAX_LENGTH} characters long.")
    measures = _measured(pattern, place)
    if measures.size > MAX_SIZE:
        raise place.error(
            f"repeats too much: with its counted repetitions written out, it must be at most {MAX_SIZE} characters."
        )
    return measures


@dataclass
class Measures:
    """Of a pattern, or a part of it."""

    size: int = 0
    """Written out. Where Rust would end a class later (one in another), more is counted, never less."""
    shortest: int = 0
    """Characters of the shortest match; of the alternative that is being read, where one is."""
    other: int | None = None
    """The same of the alternatives before."""

    def add(self, part: Measures) -> None:
        self.size += part.size
        self.shortest += part.shortest

    def next_alternative(self) -> None:
        self.other = self.closed().shortest
        self.shortest = 0

    def closed(self) -> Measures:
        """The group as a part of the one around it."""
        return Measures(max(self.size, 1), self.shortest if self.other is None else min(self.shortest, self.other))


def _measured(pattern: str, place: Place) -> Measures:
    groups = [Measures()]
    last = Measures()  # what a repetition would repeat; it is counted already
    repeated = nested = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        step = 1
        if (count := _COUNT.match(pattern, at)) or char in "*+?":
            if repeated and char == "?":  # only says which match is preferred
                repeated = False
            else:
                last = _repeat(groups[-1], last, char, count)
                repeated = True
            at += len(count[0]) if count else 1
            continue
        repeated = False
        last = Measures()
        if char == "(":
            step = _open(pattern, at, place)
            groups.append(Measures())
            if len(groups) > MAX_DEPTH:
                raise place.error(f"has groups nested more than {MAX_DEPTH} deep.")
        elif char == ")":
            if len(groups) == 1:
                raise place.error(f"is not a regular expression: ')' at {at} closes no group.")
            last = groups.pop().closed()
            groups[-1].add(last)
        elif char == "|":
            groups[-1].next_alternative()
        elif char not in "^$":
            step = _atom(pattern, at, place)
            nested = nested or (char == "[" and _NESTED.match(pattern, at) is not None)
            last = Measures(1, 1)
            groups[-1].add(last)
        at += step
    if len(groups) > 1:
        raise place.error("is not a regular expression: a group is not closed.")
    whole = groups[0].closed()
    return Measures(whole.size, whole.size) if nested else whole


def _repeat(group: Measures, part: Measures, operator: str, count: re.Match[str] | None) -> Measures:
    """The group's last part, repeated; the group is brought up to date."""
    low = _number(count[1]) if count else int(operator == "+")
    times = max(low, _number(count[3]), 1) if count else 1
    whole = Measures(part.size * times, part.shortest * low)
    group.add(Measures(whole.size - part.size, whole.shortest - part.shortest))
    return whole


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
