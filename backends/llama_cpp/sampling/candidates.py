"""llama.cpp's candidate array (`llama_token_data_array`), over NumPy memory that is used again each time."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from .arrays import Ids, Indices, Logits

TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
Entries = npt.NDArray[np.void]
"""An array of TOKEN_DATA, laid out as llama.cpp's `llama_token_data`."""


class Candidates:
    """The tokens still in the running. C samplers reorder and shrink them in place through `pointer`."""

    def __init__(self, n_vocab: int) -> None:
        self._memory: Entries = np.zeros(n_vocab, TOKEN_DATA)
        self._ids: Ids = self._memory["id"]
        self._logits: Logits = self._memory["logit"]
        self._address: int = self._memory.ctypes.data
        self._first = ctypes.cast(self._address, C.llama_token_data_p)
        self._array: Any = C.llama_token_data_array()
        self.pointer: Any = ctypes.pointer(self._array)

    def load(self, ids: Ids | Indices, logits: Logits) -> None:
        """Start afresh with these tokens, in this order."""
        n = len(ids)
        self._ids[:n] = ids
        self._logits[:n] = logits
        self._set(n, in_order=False)

    @property
    def size(self) -> int:
        return int(self._array.size)

    @property
    def in_order(self) -> bool:
        """Whether they are known to be sorted, best first."""
        return bool(self._array.sorted)

    @property
    def entries(self) -> Entries:
        """A view of the candidates; XTC may have moved their start."""
        start = (ctypes.addressof(self._array.data.contents) - self._address) // TOKEN_DATA.itemsize
        return self._memory[start : start + self._array.size]

    def replace(self, entries: Entries, *, in_order: bool) -> None:
        """Go on with these entries: a copy, not a view of the old ones."""
        self._memory[: len(entries)] = entries
        self._set(len(entries), in_order=in_order)

    def reordered(self) -> None:
        """Logits were changed: what was sorted may no longer be."""
        self._array.sorted = False

    def chosen(self) -> int:
        """The token that the last sampler selected."""
        return int(self._array.data[self._array.selected].id)

    def _set(self, n: int, *, in_order: bool) -> None:
        array = self._array
        array.data = self._first
        array.size = n
        array.selected = -1
        array.sorted = in_order
