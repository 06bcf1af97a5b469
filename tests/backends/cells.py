"""A KV memory in plain Python: cells with sets of sequence ids, as llama.cpp's unified cache keeps them.

It stores the token instead of keys and values, so that a test can see whether a sequence's cells hold its tokens.
"""

from __future__ import annotations

import pickle

from backends.llama_cpp.prefix_cache import Tokens


class PlainCells:
    """Implements `kv_pool.CellMemory`; every misuse that llama.cpp would punish silently is an assertion here."""

    def __init__(self, n_cells: int, window: int = 0) -> None:
        """`window` > 0: a saved state loses what lies outside of its last so many tokens."""
        self.n_cells = n_cells
        self.window = window
        self.cells: list[tuple[int, int, set[int], bool]] = []
        """(position, token, sequence ids, whether a window that needs it can be computed)"""

    @property
    def used(self) -> int:
        return len(self.cells)

    def text(self, seq: int) -> list[int]:
        """The tokens of a sequence, which must be gapless from position 0."""
        held = sorted((position, token) for position, token, ids, _ in self.cells if seq in ids)
        assert [position for position, _ in held] == list(range(len(held)))
        return [token for _, token in held]

    def decode(self, seq: int, tokens: Tokens, start: int) -> None:
        assert start == len(self.text(seq)), "a batch must continue its sequence"
        if self.window:
            needed = range(max(0, start - self.window + 1), start)
            assert all(whole for position, _, ids, whole in self.cells if seq in ids and position in needed)
        self.cells += [(start + i, int(token), {seq}, True) for i, token in enumerate(tokens)]
        assert self.used <= self.n_cells, "more cells used than there are"

    def copy(self, source: int, target: int, p0: int, p1: int) -> None:
        wanted = range(max(p0, 0), p1 if p1 >= 0 else self.n_cells + 1)
        assert not any(target in ids and position in wanted for position, _, ids, _ in self.cells)
        for position, _, ids, _ in self.cells:
            if source in ids and position in wanted:
                ids.add(target)

    def remove(self, seq: int, p0: int, p1: int) -> bool:
        wanted = range(max(p0, 0), p1 if p1 >= 0 else self.n_cells + 1)
        for position, _, ids, _ in self.cells:
            if position in wanted:
                ids.discard(seq)
        self.cells = [cell for cell in self.cells if cell[2]]
        return True

    def save(self, seq: int) -> bytes:
        return pickle.dumps(self.text(seq))

    def restore(self, seq: int, state: bytes) -> bool:
        self.remove(seq, -1, -1)
        tokens = pickle.loads(state)
        if self.used + len(tokens) > self.n_cells:
            return False
        first = max(0, len(tokens) - self.window) if self.window else 0
        self.cells += [(i, token, {seq}, i >= first) for i, token in enumerate(tokens)]
        return True
