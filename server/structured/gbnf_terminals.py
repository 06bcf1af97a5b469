"""Which parts of a GBNF grammar can be terminals.

GBNF is read character by character, and so could be given to llguidance, with a terminal for each. That takes 16 ms per
token where terminals for strings, numbers and words take 0.03 ms (Qwen's vocabulary, JSON's grammar). But terminals are
matched greedily: after `[a-z]+`, an "s" never comes, as it would be part of it. So a part is one only if it has no
recursion in it, and no character that could lengthen a match of it can follow it.

That is told by sets of characters, as bits: one for each in ASCII, one for all the others together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_

import msgspec

from server.structured.gbnf_syntax import Chars, Choice, Literal, Node, Reference, Repeat, Sequence
from server.structured.regex import MAX_SIZE

NONE = 0
ALL = (1 << 129) - 1
_OTHERS = 1 << 128
TOO_LARGE = MAX_SIZE + 1
_PASSES = 30
"""Over all rules, until nothing changes; else everything is taken to be possible."""


class Facts(msgspec.Struct, frozen=True):
    """Of a part of the grammar."""

    empty: bool
    """Whether it matches nothing at all."""
    first: int
    """Characters that a match can begin with."""
    more: int
    """Those that a match can go on with, when it could also have ended. All that are in it, where that can't be told
    from the next character alone."""
    all: int
    """Those that are in matches at all."""
    size: int
    """Characters and classes with repetitions written out, up to TOO_LARGE; that if it is recursive, too."""

    @property
    def nothing(self) -> bool:
        """Whether it matches nothing else but nothing."""
        return self.empty and not self.first


_UNKNOWN = Facts(True, ALL, ALL, ALL, TOO_LARGE)


class Terminals:
    """Of a grammar's rules, which are given callees first where they are not recursive."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._known = dict.fromkeys(rules, Facts(False, NONE, NONE, NONE, TOO_LARGE))
        if not self._settle(self._learn):
            self._known = dict.fromkeys(rules, _UNKNOWN)
        self._followers = dict.fromkeys(rules, NONE)
        if not self._settle(self._follow_all):
            self._followers = dict.fromkeys(rules, ALL)

    def follow(self, rule: str) -> int:
        """Characters that can come after a rule."""
        return self._followers[rule]

    def follow_in(self, node: Repeat, follow: int) -> int:
        """The same for what is repeated, where these come after all of it."""
        return follow if node.high == 1 else follow | self.facts(node.item).first

    def fits(self, node: Node, follow: int) -> bool:
        """Whether it can be a terminal where these characters can come after it."""
        facts = self.facts(node)
        return facts.size <= MAX_SIZE and not facts.more & follow

    def facts(self, node: Node) -> Facts:
        match node:
            case Literal(text=text):
                bits = [_bit(ord(char)) for char in text]
                return Facts(not text, bits[0] if bits else NONE, NONE, _union(bits), min(len(text), TOO_LARGE))
            case Chars():
                return Facts(False, _set(node), NONE, _set(node), 1)
            case Reference(name=name):
                return self._known[name]
            case Sequence(items=items):
                facts = Facts(True, NONE, NONE, NONE, 0)
                for item in items:
                    facts = _then(facts, self.facts(item))
                return facts
            case Choice(options=options):
                facts = Facts(False, NONE, NONE, NONE, 0)
                for option in options:
                    facts = _either(facts, self.facts(option))
                return facts
            case Repeat(item=item, low=low, high=high):
                return _repeated(self.facts(item), low, high)

    def _settle(self, turn: Callable[[], bool]) -> bool:
        return any(not turn() for _ in range(_PASSES))

    def _learn(self) -> bool:
        """One pass; whether anything was new. A rule is recursive until it is shown not to be."""
        before = dict(self._known)
        for name, node in self._rules.items():
            self._known[name] = self.facts(node)
        return self._known != before

    def _follow_all(self) -> bool:
        before = dict(self._followers)
        for name in reversed(list(self._rules)):
            self._follow(self._rules[name], self._followers[name])
        return self._followers != before

    def _follow(self, node: Node, follow: int) -> None:
        match node:
            case Reference(name=name):
                self._followers[name] |= follow
            case Sequence(items=items):
                for item in reversed(items):
                    self._follow(item, follow)
                    facts = self.facts(item)
                    follow = facts.first | (follow if facts.empty else NONE)
            case Choice(options=options):
                for option in options:
                    self._follow(option, follow)
            case Repeat(item=item):
                self._follow(item, self.follow_in(node, follow))


def _then(one: Facts, other: Facts) -> Facts:
    together = one.all | other.all
    more = other.more | (one.more | other.first if other.empty else NONE)
    if one.more & other.first:
        more = together
    first = one.first | (other.first if one.empty else NONE)
    return Facts(one.empty and other.empty, first, more, together, min(one.size + other.size, TOO_LARGE))


def _either(one: Facts, other: Facts) -> Facts:
    together = one.all | other.all
    more = one.more | other.more | (other.first if one.empty else NONE) | (one.first if other.empty else NONE)
    if one.first & other.first:
        more = together
    size = min(one.size + other.size, TOO_LARGE)
    return Facts(one.empty or other.empty, one.first | other.first, more, together, size)


def _repeated(item: Facts, low: int, high: int | None) -> Facts:
    if high == 0:
        return Facts(True, NONE, NONE, NONE, 0)
    exactly = low == high and (low == 1 or not item.empty)
    more = item.more | (NONE if exactly else item.first)
    if high != 1 and item.more & item.first:
        more = item.all
    size = min(item.size * max(low, high or 1, 1), TOO_LARGE)
    return Facts(item.empty or low == 0, item.first, more, item.all, size)


def _union(bits: Iterable[int]) -> int:
    return reduce(or_, bits, NONE)


def _bit(code: int) -> int:
    return 1 << code if code < 128 else _OTHERS


def _set(chars: Chars) -> int:
    bits = NONE
    for low, high in chars.ranges:
        if low < 128:
            bits |= (1 << min(high, 127) + 1) - (1 << low)
        if high >= 128:
            bits |= _OTHERS
    return (ALL & ~bits) | _OTHERS if chars.negated else bits
