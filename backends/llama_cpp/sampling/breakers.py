"""DRY's sequence breakers: which tokens, alone or with those that follow them, spell a given string."""

from __future__ import annotations

import ctypes
import threading

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from .arrays import Ids

MAX_BYTES = 40
MAX_TAIL = 20
"""llama.cpp's limits: of a breaker's text, and of the tokens that complete it."""
MAX_CACHED = 8
"""Sets of breakers that are remembered."""

Bytes = npt.NDArray[np.uint8]


class Breakers:
    """The tokens of a set of breakers."""

    def __init__(self, n_vocab: int) -> None:
        self.alone = np.zeros(n_vocab, np.bool_)
        """Whether a token holds a breaker by itself."""
        self._by_next: dict[int, list[tuple[tuple[int, ...], Ids]]] = {}
        """Tails by their first token, each with the heads (ascending) that it completes."""

    def add(self, heads: Ids, tail: tuple[int, ...]) -> None:
        if not tail:
            self.alone[heads] = True
        elif len(heads):
            self._by_next.setdefault(tail[0], []).append((tail, heads))

    def longest_tail(self, token: int, following: tuple[int, ...]) -> int:
        """If a breaker begins in `token`, how many of the `following` tokens it takes up, at most; else -1."""
        longest = 0 if self.alone[token] else -1
        if following:
            for tail, heads in self._by_next.get(following[0], ()):
                if len(tail) > longest and following[: len(tail)] == tail:
                    place = int(heads.searchsorted(token))
                    if place < len(heads) and heads[place] == token:
                        longest = len(tail)
        return longest


class BreakerIndex:
    """Finds the tokens of breakers in a vocabulary (a `llama_vocab`; None: one that spells nothing).

    llama.cpp searches the vocabulary anew for each string of each request, 24 ms at 152k tokens, while every other
    stream waits. Here the tokens' text is laid out once and then searched by NumPy, in 1 to 2 ms.
    """

    def __init__(self, handle: int | None, n_vocab: int) -> None:
        self._handle = handle
        self._n_vocab = n_vocab
        self._text: Bytes | None = None
        """Every token's bytes, one token after the other."""
        self._token_at: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        """The token that each byte belongs to."""
        self._ends: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Where in `_text` each token ends."""
        self._found: dict[tuple[str, ...], Breakers] = {}
        self._lock = threading.Lock()

    def find(self, texts: tuple[str, ...]) -> Breakers:
        """What ends a repetition. Empty texts are passed over, long ones cut to 40 bytes, as llama.cpp does."""
        with self._lock:
            breakers = self._found.pop(texts, None)
            if breakers is None:
                breakers = Breakers(self._n_vocab)
                for text in set(texts):
                    if text and self._handle is not None:
                        self._search(text.encode()[:MAX_BYTES], breakers)
            self._found[texts] = breakers  # last in the dictionary: used last
            if len(self._found) > MAX_CACHED:
                del self._found[next(iter(self._found))]
            return breakers

    def _search(self, breaker: bytes, found: Breakers) -> None:
        """Follow every occurrence of the first byte: to the breaker's end, or to the end of the token it is in."""
        text = self._text if self._text is not None else self._lay_out()
        starts = np.flatnonzero(text == breaker[0])
        tokens = self._token_at[starts]
        cut_off: list[tuple[Ids, bytes]] = []
        for i in range(1, len(breaker)):
            at_end = self._ends[tokens] - starts == i
            cut_off.append((np.unique(tokens[at_end]), breaker[i:]))
            starts, tokens = starts[~at_end], tokens[~at_end]
            goes_on = text[starts + i] == breaker[i]
            starts, tokens = starts[goes_on], tokens[goes_on]
        whole = np.unique(tokens)
        found.add(whole, ())
        for heads, rest in cut_off:
            heads = np.setdiff1d(heads, whole, assume_unique=True)
            if len(heads):
                found.add(heads, tuple(self._tokenize(rest)[:MAX_TAIL]))

    def _lay_out(self) -> Bytes:
        """Read all tokens' text: 0.4 s for 152k tokens, the first time that a request uses DRY."""
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
        lengths = [len(piece) for piece in pieces]
        self._ends = np.cumsum(lengths)
        self._token_at = np.repeat(np.arange(self._n_vocab, dtype=np.int32), lengths)
        self._text = np.frombuffer(b"".join(pieces), np.uint8)
        return self._text

    def _tokenize(self, text: bytes) -> list[int]:
        room = len(text) + 8
        tokens = (C.llama_token * room)()
        count = C.llama_tokenize(self._handle, text, len(text), tokens, room, False, False)
        if count < 0:
            tokens = (C.llama_token * -count)()
            count = C.llama_tokenize(self._handle, text, len(text), tokens, -count, False, False)
        return list(tokens[: max(count, 0)])
