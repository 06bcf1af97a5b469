"""What sampling needs to know of a model: made once, shared by all its sequences."""

from __future__ import annotations

import ctypes
import threading
from functools import cached_property
from itertools import repeat

import llama_cpp.llama_cpp as C
import numpy as np

from .arrays import Ids, Logits
from .breakers import BreakerIndex
from .candidates import Candidates

INFILL_BUFFER = 512
"""Bytes of a token's text that llama.cpp's infill sampler has room for: a longer one ends the process."""


class Workspace(threading.local):
    """Scratch memory, one set per thread: a row of logits that may be changed, and llama.cpp's candidate array."""

    def __init__(self, n_vocab: int) -> None:
        self.row: Logits = np.empty(n_vocab, np.float32)
        self.candidates = Candidates(n_vocab)


class SamplingVocab:
    """`eog`: the ids that end generation, ascending. `suppress`: those that the model must never generate."""

    def __init__(self, n_vocab: int, eog: Ids, suppress: Ids, *, handle: int | None = None) -> None:
        self.handle = handle
        self.n_vocab = n_vocab
        self.eog = eog
        self.suppress = suppress
        self.all_ids: Ids = np.arange(n_vocab, dtype=np.int32)
        self.breakers = BreakerIndex(handle, n_vocab)
        self.workspace = Workspace(n_vocab)

    @cached_property
    def can_infill(self) -> bool:
        """Whether llama.cpp's infill sampler can take it: with a token that ends texts, and all texts short enough.
        Reads them all, the first time that a request uses that sampler."""
        if self.handle is None or max(C.llama_vocab_eot(self.handle), C.llama_vocab_eos(self.handle)) < 0:
            return False
        room = ctypes.create_string_buffer(INFILL_BUFFER)
        return all(
            C.llama_token_to_piece(self.handle, token, room, INFILL_BUFFER, 0, False) >= 0
            for token in range(self.n_vocab)
        )

    @classmethod
    def from_model(cls, handle: int) -> SamplingVocab:
        """Read a `llama_vocab`, which must outlive the result."""
        n_vocab = int(C.llama_vocab_n_tokens(handle))
        ends = np.fromiter(map(C.llama_vocab_is_eog, repeat(handle), range(n_vocab)), np.bool_, n_vocab)
        n_suppress = ctypes.c_int32(0)
        found = C.llama_vocab_get_suppress_tokens(handle, ctypes.byref(n_suppress))
        suppress = np.array(found[: n_suppress.value] if found else [], np.int32)
        suppress = suppress[(suppress >= 0) & (suppress < n_vocab)]
        eog = np.flatnonzero(ends).astype(np.int32)
        return cls(n_vocab, eog, suppress, handle=handle)
