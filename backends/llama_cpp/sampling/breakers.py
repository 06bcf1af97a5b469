"""DRY's sequence breakers: which tokens, alone or with those that follow them, spell a given string."""

from __future__ import annotations

import ctypes
import threading

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from .arrays import Ids

MAX_BREAKER_BYTES = 40
MAX_TAIL_TOKENS = 20
MAX_CACHED = 256
"""Strings whose tokens are remembered."""

Tails = dict[int, set[tuple[int, ...]]]
"""Token that holds a breaker or ends with its beginning → the tokens that must follow; () if it holds all of it."""


class BreakerIndex:
    """Finds the tokens of breakers in a vocabulary (a `llama_vocab`; None: one that spells nothing).

    llama.cpp searches the vocabulary anew for each string of each request: 24 ms each at 152k tokens, while every other
    stream waits. Here the tokens' text is laid out once and searched by NumPy, and what was found is kept.
    """

    def __init__(self, handle: int | None, n_vocab: int) -> None:
        self._handle = handle
        self._n_vocab = n_vocab
        self._text: npt.NDArray[np.uint8] | None = None
        """Every token's bytes, one token after the other."""
        self._ends: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Where in `_text` each token ends."""
        self._found: dict[bytes, Tails] = {}
        self._lock = threading.Lock()

    def tails(self, breakers: tuple[str, ...]) -> Tails:
        """What ends a repetition. Empty strings are passed over, long ones cut to 40 bytes, as llama.cpp does."""
        merged: Tails = {}
        if self._handle is None:
            return merged
        with self._lock:
            for breaker in breakers:
                for token, tails in self._tails_of(breaker.encode()[:MAX_BREAKER_BYTES]).items():
                    merged[token] = merged.get(token, set()) | tails
        return merged

    def _tails_of(self, breaker: bytes) -> Tails:
        if not breaker:
            return {}
        found = self._found.pop(breaker, None)
        if found is None:
            found = self._search(breaker)
            while len(self._found) >= MAX_CACHED:
                del self._found[next(iter(self._found))]
        self._found[breaker] = found  # last in the dictionary: used last
        return found

    def _search(self, breaker: bytes) -> Tails:
        """Follow every occurrence of the first byte: to the breaker's end, or to the end of the token it is in."""
        if self._text is None:
            self._lay_out()
        text, ends = self._text, self._ends
        assert text is not None
        starts = np.flatnonzero(text == breaker[0])
        tokens = np.searchsorted(ends, starts, side="right")
        room = ends[tokens] - starts
        alive = np.ones(len(starts), np.bool_)
        cut_off: list[tuple[Ids, bytes]] = []
        for i in range(1, len(breaker)):
            cut_off.append((tokens[alive & (room == i)], breaker[i:]))
            alive &= room > i
            alive[alive] = text[starts[alive] + i] == breaker[i]
        found: Tails = {int(token): {()} for token in tokens[alive]}
        whole = set(found)
        for heads, rest in cut_off:
            if len(heads):
                tail = tuple(self._tokenize(rest)[:MAX_TAIL_TOKENS])
                for head in heads.tolist():
                    if head not in whole:
                        found.setdefault(head, set()).add(tail)
        return found

    def _lay_out(self) -> None:
        """Read all tokens' text. 0.4 s for 152k tokens, the first time that a request uses DRY."""
        one = (C.llama_token * 1)()
        buffer = ctypes.create_string_buffer(128)
        pieces = []
        for token in range(self._n_vocab):
            one[0] = token
            length = C.llama_detokenize(self._handle, one, 1, buffer, len(buffer), False, True)
            if length < 0:
                buffer = ctypes.create_string_buffer(-length)
                length = C.llama_detokenize(self._handle, one, 1, buffer, len(buffer), False, True)
            pieces.append(ctypes.string_at(buffer, length))
        self._text = np.frombuffer(b"".join(pieces), np.uint8)
        self._ends = np.cumsum([len(piece) for piece in pieces])

    def _tokenize(self, text: bytes) -> list[int]:
        room = len(text) + 8
        tokens = (C.llama_token * room)()
        count = C.llama_tokenize(self._handle, text, len(text), tokens, room, False, False)
        if count < 0:
            tokens = (C.llama_token * -count)()
            count = C.llama_tokenize(self._handle, text, len(text), tokens, -count, False, False)
        return list(tokens[: max(count, 0)])
