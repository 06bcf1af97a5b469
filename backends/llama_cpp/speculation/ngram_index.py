"""Where in a text a run of three tokens stood last: found and noted in constant time.

A direct-mapped table of positions, 16 to 32 bytes per token of room. Runs whose hashes collide displace each other, so
an entry is compared with the text when it is read; what is displaced is a match lost, never a wrong one.
"""

from __future__ import annotations

import numpy as np

from backends.llama_cpp.prefix_cache import Tokens

N = 3
"""Tokens of a run. Two repeat by chance everywhere, and after four or more a copy is found again later."""
Run = tuple[int, int, int]

_FACTORS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)
_WORD = 0xFFFFFFFF


class NgramIndex:
    """Runs of tokens → the position after the last place where each is known to stand in `text`."""

    def __init__(self, text: Tokens, n_known: int) -> None:
        """Notes all runs of `text[:n_known]`; room is made for as many as `text` can have."""
        bits = max(4, len(text).bit_length() + 2)  # an eighth to a quarter full: few collisions
        self._text = text.data  # a single element is read three times as fast as from an array
        self._shift = 32 - bits
        table = np.zeros(1 << bits, np.int32)  # 0: nothing, as no run ends before position N
        if n_known >= N:
            a, b, c = (text[i : n_known - N + 1 + i].astype(np.uint32) * np.uint32(_FACTORS[i]) for i in range(N))
            table[(a + b + c) >> np.uint32(self._shift)] = np.arange(N, n_known + 1, dtype=np.int32)
        self._table = table.data

    def find(self, run: Run) -> int | None:
        """The position after the last place of `run` that was noted."""
        end: int = self._table[self._place(run)]
        text = self._text
        return end if end and (text[end - 3], text[end - 2], text[end - 1]) == run else None

    def add(self, run: Run, end: int) -> None:
        """`run` stands before position `end`."""
        self._table[self._place(run)] = end

    def _place(self, run: Run) -> int:
        a, b, c = run
        return (a * _FACTORS[0] + b * _FACTORS[1] + c * _FACTORS[2] & _WORD) >> self._shift
