"""Idle prefixes kept in RAM: sequence states copied out of the KV pool, found again by their tokens."""

from __future__ import annotations

import math
from collections import OrderedDict

from backends.base import AdapterSet

from .prefix_cache import PrefixTree, Tokens


class SpillStore:
    """Least recently used copies of sequence states, up to `limit_bytes` (negative: no limit; 0: keeps nothing)."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._tree = PrefixTree()
        self._states: OrderedDict[int, bytes | bytearray] = OrderedDict()
        self._next_key = 0
        self.n_bytes = 0
        self._too_long = math.inf
        """The fewest tokens whose copy alone was beyond the limit."""

    def __len__(self) -> int:
        return len(self._states)

    @property
    def enabled(self) -> bool:
        return self._limit != 0

    def takes(self, n_tokens: int) -> bool:
        """Whether a copy of so many tokens may be kept, going by those that were too large. To make one takes long."""
        return self.enabled and n_tokens < self._too_long

    def holds(self, tokens: Tokens, adapters: AdapterSet) -> bool:
        """Whether a copy of just these tokens, or of a longer text that starts with them, is here."""
        return self._tree.match(tokens, adapters)[0] == len(tokens)

    def holds_whole(self, tokens: Tokens, adapters: AdapterSet) -> bool:
        """Whether a copy of just these tokens is here."""
        return self._tree.match_whole(tokens, adapters)[0] == len(tokens)

    def match(self, tokens: Tokens, adapters: AdapterSet, *, whole: bool) -> tuple[int, int | None]:
        """The longest prefix of `tokens` that a copy starts with (`whole`: that a copy is), and the copy's key."""
        return self._tree.match_whole(tokens, adapters) if whole else self._tree.match(tokens, adapters)

    def length(self, key: int) -> int:
        """How many tokens a copy holds."""
        return self._tree.length(key)

    def get(self, key: int) -> bytes | bytearray:
        """A copy's bytes; it becomes the most recently used."""
        self._states.move_to_end(key)
        return self._states[key]

    def put(self, tokens: Tokens, adapters: AdapterSet, state: bytes | bytearray, *, supersede: bool) -> bool:
        """Keep a copy; drop those it makes superfluous (`supersede`), then the oldest until it fits. False: it never
        would."""
        if 0 <= self._limit < len(state):
            self._too_long = min(self._too_long, len(tokens))
            return False
        key, self._next_key = self._next_key, self._next_key + 1
        self._tree.insert(key, tokens, adapters)
        self._states[key] = state
        self.n_bytes += len(state)
        if supersede:
            for shorter in self._tree.covers(key):
                self.drop(shorter)
        while 0 <= self._limit < self.n_bytes:
            self.drop(next(iter(self._states)))
        return True

    def drop_adapter(self, adapter: int) -> None:
        """Forget all copies that were computed with it."""
        for key in [key for key in self._states if adapter in dict(self._tree.adapters(key))]:
            self.drop(key)

    def drop(self, key: int) -> None:
        """Forget a copy, if it is still here: making room for others drops copies too."""
        if (state := self._states.pop(key, None)) is not None:
            self._tree.remove(key)
            self.n_bytes -= len(state)
