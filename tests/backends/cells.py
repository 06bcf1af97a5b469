"""A KV memory in plain Python: cells with sets of sequence ids, as llama.cpp's unified cache keeps them.

It stores the token instead of keys and values, so that a test can see whether a sequence's cells hold its tokens.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass

from backends.llama_cpp.prefix_cache import Tokens


@dataclass
class Cell:
    position: int
    token: int
    ids: set[int]
    window_ids: set[int]
    """The same in the layers with a sliding window, which lose cells outside of it."""


class PlainCells:
    """Implements `kv_pool.CellMemory`; every misuse that llama.cpp would punish silently is an assertion here."""

    def __init__(self, n_cells: int, window: int = 0) -> None:
        """`window`: how far attention reaches back in some of the layers, in tokens; 0: everywhere to the start."""
        self.n_cells = n_cells
        self.window = window or n_cells
        self.cells: list[Cell] = []
        self.saves = 0

    @property
    def used(self) -> int:
        return len(self.cells)

    def text(self, seq: int) -> list[int]:
        """The tokens of a sequence, which must be gapless from position 0."""
        held = sorted((cell.position, cell.token) for cell in self.cells if seq in cell.ids)
        assert [position for position, _ in held] == list(range(len(held)))
        return [token for _, token in held]

    def decode(self, spans: list[tuple[int, Tokens, int]]) -> None:
        """Compute a batch: of each sequence these tokens from this position on."""
        for seq, _, start in spans:
            assert start == len(self.text(seq)), "a batch must continue its sequence"
            if self.window < self.n_cells:
                seen = {cell.position for cell in self.cells if seq in cell.window_ids}
                assert seen >= set(range(max(0, start - self.window + 1), start)), "the window has holes"
        if self.window < self.n_cells:
            for _, _, start in spans:
                self._overwrite(start)
        for seq, tokens, start in spans:
            self.cells += [Cell(start + i, int(token), {seq}, {seq}) for i, token in enumerate(tokens)]
        assert self.used <= self.n_cells, "more cells used than there are"

    def _overwrite(self, chance: int) -> None:
        """Lose cells that a single sequence holds and whose window has passed, and all before them, as llama.cpp."""
        ends = {seq: cell.position + 1 for cell in self.cells for seq in cell.ids}  # cells come in order of position
        for cell in self.cells:
            if len(cell.window_ids) == 1 and (cell.position + chance) % 7 == 0:
                (seq,) = cell.window_ids
                if cell.position <= ends[seq] - self.window:
                    for earlier in self.cells:
                        if earlier.position <= cell.position:
                            earlier.window_ids.discard(seq)

    def copy(self, source: int, target: int, p0: int, p1: int) -> None:
        wanted = range(max(p0, 0), p1 if p1 >= 0 else self.n_cells + 1)
        assert not any(target in cell.ids and cell.position in wanted for cell in self.cells)
        for cell in self.cells:
            if cell.position in wanted:
                for ids in (cell.ids, cell.window_ids):
                    if source in ids:
                        ids.add(target)

    def remove(self, seq: int, p0: int, p1: int) -> bool:
        wanted = range(max(p0, 0), p1 if p1 >= 0 else self.n_cells + 1)
        for cell in self.cells:
            if cell.position in wanted:
                cell.ids.discard(seq)
                cell.window_ids.discard(seq)
        self.cells = [cell for cell in self.cells if cell.ids]
        return True

    def first_position(self, seq: int) -> int:
        return min((cell.position for cell in self.cells if seq in cell.window_ids), default=-1)

    def save(self, seq: int) -> bytes:
        self.saves += 1
        return pickle.dumps(self.text(seq))

    def restore(self, seq: int, state: bytes | bytearray) -> bool:
        self.remove(seq, -1, -1)
        tokens = pickle.loads(state)
        if self.used + len(tokens) > self.n_cells:
            return False
        first = len(tokens) - self.window
        self.cells += [Cell(i, token, {seq}, {seq} if i >= first else set()) for i, token in enumerate(tokens)]
        return True
