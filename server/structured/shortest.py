"""How long the outputs of a grammar are at least: the whole, and each part of it that may come.

What a grammar leaves no choice about, the engine writes in one go: no limit of tokens ends it, and no client that goes
away. A few hundred bytes can ask for gigabytes, by rules that double each other or counts within counts; and for text
without an end, by a rule that only leads to itself. Whatever language a grammar is written in, its `Shape` says as much
of it as is needed to know that beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from server.structured.rule_graph import components

MAX_LENGTH = 65_536
"""Characters."""
MAX_PIECES = 10_000
"""Texts one after another, without a choice anywhere among them. llguidance gives up at 50,000 items of its parser, of
which each text takes 2 or 3; more where rules only lead to others."""
MAX_CLOSING = 1_024
"""Characters without a choice behind a rule's way back to itself: they come all at once, as often as it was gone."""
_NEVER = 10**9
"""What has no end; and all that is as long."""
_PASSES = 20
"""Over rules that lead to each other, until nothing changes: one for each time that the shortest way to an end leads to
a rule that is already on it. What isn't known by then is taken to be longer than it may be."""


class Text(msgspec.Struct, frozen=True):
    length: int
    free: bool = False
    """Whether there are several of that length."""


class Rule(msgspec.Struct, frozen=True):
    name: Hashable


class Run(msgspec.Struct, frozen=True):
    """One after another."""

    parts: tuple[Shape, ...]


class Either(msgspec.Struct, frozen=True):
    parts: tuple[Shape, ...]


class Times(msgspec.Struct, frozen=True):
    """At least so often."""

    part: Shape
    low: int


Shape = Text | Rule | Run | Either | Times


class TooLong(ValueError):
    """A part of the grammar can't be as short as it must be; the message says how short that is."""

    def __init__(self, rule: Hashable, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        """The one that it is in."""


class _Least(NamedTuple):
    length: int
    pieces: int
    fixed: bool
    """Whether there may be no choice in it."""


def check_shortest(rules: Mapping[Any, Shape]) -> None:
    """Raises TooLong. Each rule must refer to others of them only."""
    references = {name: list(dict.fromkeys(_references(shape))) for name, shape in rules.items()}
    lengths = _Lengths(rules)
    for group in components(references):
        on_cycle = set(group) if len(group) > 1 or group[0] in references[group[0]] else set()
        lengths.learn(group, passes=_PASSES if on_cycle else 1)
        for name in group:
            lengths.check(name, on_cycle)


class _Lengths:
    def __init__(self, rules: Mapping[Any, Shape]) -> None:
        self._rules = rules
        self._known: dict[Hashable, _Least] = {}

    def learn(self, group: Sequence[Hashable], passes: int) -> None:
        """Of rules that lead to each other, and to others that are known."""
        self._known |= dict.fromkeys(group, _Least(_NEVER, _NEVER, fixed=False))
        changed = True
        while changed and passes:
            changed = False
            passes -= 1
            for name in group:
                least = self._least(self._rules[name])
                changed = changed or least != self._known[name]
                self._known[name] = least

    def check(self, name: Hashable, on_cycle: set[Hashable]) -> None:
        """`on_cycle`: the rules that may have led to this one."""

        def look(shape: Shape, least: _Least) -> None:
            if least.length >= _NEVER:
                raise TooLong(name, f"never ends, or not before {_NEVER} characters")
            if least.length > MAX_LENGTH:
                raise TooLong(name, f"is at least {least.length} characters long, of at most {MAX_LENGTH}")
            if least.fixed and least.pieces > MAX_PIECES:
                raise TooLong(
                    name, f"has at least {least.pieces} parts with no choice in them, of at most {MAX_PIECES}"
                )
            if on_cycle and (closing := self._closing(shape, on_cycle)) > MAX_CLOSING:
                reason = f"has {closing} characters behind each time that it leads to itself, of at most {MAX_CLOSING}"
                raise TooLong(name, reason)

        self._least(self._rules[name], look)

    def _least(self, shape: Shape, look: Callable[[Shape, _Least], None] | None = None) -> _Least:
        """`look`: is called with every part, and the same of it."""
        match shape:
            case Text(length=length, free=free):
                pieces, fixed = min(length, 1), not free
            case Rule(name=name):
                length, pieces, fixed = self._known[name]
            case Run(parts=parts):
                length, pieces, fixed = 0, 0, True
                for part in parts:
                    more = self._least(part, look)
                    length, pieces, fixed = length + more.length, pieces + more.pieces, fixed and more.fixed
            case Either(parts=parts):
                length, pieces, fixed = _NEVER, _NEVER, False
                for part in parts:
                    other = self._least(part, look)
                    length, pieces, fixed = min(length, other.length), min(pieces, other.pieces), fixed or other.fixed
            case Times(part=part, low=low):
                once = self._least(part, look)
                length, pieces, fixed = once.length * low, once.pieces * low, once.fixed or not low
        least = _Least(min(length, _NEVER), min(pieces, _NEVER), fixed)
        if look is not None:
            look(shape, least)
        return least

    def _closing(self, shape: Shape, on_cycle: set[Hashable]) -> int:
        """The length of what ends a run without a choice in it, behind the last part that leads to one of these."""
        length = 0
        for part in reversed(shape.parts) if isinstance(shape, Run) else ():
            if not on_cycle.isdisjoint(_references(part)):
                return length
            least = self._least(part)
            if not least.fixed:
                break
            length += least.length
        return 0


def _parts(shape: Shape) -> tuple[Shape, ...]:
    match shape:
        case Run(parts=parts) | Either(parts=parts):
            return parts
        case Times(part=part):
            return (part,)
    return ()


def _references(shape: Shape) -> Iterator[Hashable]:
    if isinstance(shape, Rule):
        yield shape.name
    for part in _parts(shape):
        yield from _references(part)
