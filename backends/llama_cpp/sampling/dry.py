"""DRY ("don't repeat yourself"): tokens that would go on with a repetition become less likely, the longer it is.

Source: p-e-w, oobabooga/text-generation-webui pull request 5677; computed as llama.cpp does. There a Z-algorithm runs
over the whole window for every token; here the match lengths are carried on from token to token in one NumPy step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from backends.base import SamplingParams

from .arrays import Ids, Indices, Logits
from .breakers import MAX_TAIL, BreakerIndex

MAX_LOG = 88.7228391
"""The logarithm of float32's maximum: powers stop growing there."""
MAX_PENALTY = float(np.finfo(np.float32).max)
"""Where llama.cpp's become infinite: a penalty alone shouldn't ban a token for good."""

NONE: Ids = np.zeros(0, np.int32)


class Dry:
    """State: the last tokens, and for each position how many tokens up to it equal the text's own last ones."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int], breakers: BreakerIndex) -> None:
        self._multiplier = float(np.float32(params.dry_multiplier))
        self._base = float(np.float32(params.dry_base))
        self._allowed = params.dry_allowed_length
        self._last_n = params.dry_penalty_last_n
        self._max_exponent = int(MAX_LOG / math.log(self._base)) if self._base > 1.000001 else 0
        self._breakers = breakers.find(params.dry_sequence_breakers)
        window = np.array(prompt if self._last_n < 0 else prompt[-self._last_n :], np.int32)
        n = len(window)
        self._n = n
        self._tokens: Ids = np.zeros(2 * n + 64, np.int32)
        self._tokens[:n] = window
        self._matches: npt.NDArray[np.int32] = np.zeros(2 * n + 64, np.int32)
        """The last entry, of the text with itself, means nothing."""
        self._matches[:n] = suffix_matches(window.tolist())
        self._breaker_at = -1
        """Where the last complete breaker begins; negative: nowhere."""
        self._breaker_tail = 0
        self._find_breaker(n - 1, 0)
        self._penalties: Logits = np.zeros(0, np.float32)

    @staticmethod
    def active(params: SamplingParams) -> bool:
        return params.dry_multiplier != 0 and params.dry_base >= 1 and params.dry_penalty_last_n != 0

    def copy(self) -> Dry:
        another = copy(self)
        another._tokens, another._matches = self._tokens.copy(), self._matches.copy()
        return another

    def accept(self, token: int) -> None:
        if self._n == len(self._tokens):
            self._make_room()
        n = self._n
        # What ended at j - 1 goes on at j if the new token stands there too; else nothing ends at j.
        extended = np.zeros(n + 1, np.int32)
        extended[1:n] = self._matches[: max(n - 1, 0)]
        extended[:n] += 1
        extended[:n] *= self._tokens[:n] == token
        self._matches[: n + 1] = extended
        self._tokens[n] = token
        self._n = n + 1
        self._find_breaker(n, max(self._breaker_at, n - MAX_TAIL, 0))

    def affected(self) -> Ids:
        """Also computes the penalties that `changed` subtracts."""
        window = self._n if self._last_n < 0 else min(self._n, self._last_n)
        limit = self._repeat_limit(window)
        if window <= self._allowed or limit < self._allowed:
            return NONE
        first = self._n - window
        # A match may not reach back beyond the window, nor beyond the last breaker.
        lengths = np.minimum(self._matches[first : self._n - 1], np.arange(1, window))
        np.minimum(lengths, limit, out=lengths)
        ends = np.flatnonzero(lengths >= self._allowed)
        followers, lengths = self._tokens[first + 1 + ends], lengths[ends]
        order = np.lexsort((lengths, followers))  # by token, and for each token the longest last
        followers, lengths = followers[order], lengths[order]
        longest = np.append(followers[1:] != followers[:-1], True)[: len(followers)]
        longest &= ~self._breakers.alone[followers]  # a breaker itself may be repeated
        self._penalties = self._penalty(lengths[longest])
        ids: Ids = followers[longest]
        return ids

    def changed(self, logits: Logits, which: Indices | slice) -> Logits:
        return logits - self._penalties[which]

    def _penalty(self, lengths: npt.NDArray[np.int32]) -> Logits:
        exponents = lengths - self._allowed
        if self._max_exponent:
            np.minimum(exponents, self._max_exponent, out=exponents)
        return np.minimum(self._multiplier * self._base ** exponents.astype(np.float64), MAX_PENALTY).astype(np.float32)

    def _repeat_limit(self, window: int) -> int:
        """The longest repetition that counts: what came after the last breaker, if there is one in the window."""
        distance = self._n - 1 - self._breaker_at
        return distance - self._breaker_tail if self._breaker_at >= 0 and distance < window else window

    def _find_breaker(self, end: int, earliest: int) -> None:
        """Look for the last breaker that begins at `earliest` or later and is complete at position `end`."""
        tokens = self._tokens[earliest : end + 1].tolist()
        for i in range(len(tokens) - 1, -1, -1):
            length = self._breakers.longest_tail(tokens[i], tuple(tokens[i + 1 : i + 1 + MAX_TAIL]))
            if length >= 0:
                self._breaker_at, self._breaker_tail = earliest + i, length
                return

    def _make_room(self) -> None:
        kept = self._n if self._last_n < 0 else min(self._n, self._last_n)
        dropped = self._n - kept
        for array in ("_tokens", "_matches"):
            old = getattr(self, array)
            new = np.zeros(2 * kept + 64, np.int32)
            new[:kept] = old[dropped : self._n]
            setattr(self, array, new)
        self._n = kept
        self._breaker_at -= dropped


def suffix_matches(tokens: list[int]) -> list[int]:
    """For each position, how many tokens up to and with it equal as many at the end (0 for the last position).

    The Z-algorithm on the reversed list: linear, whatever the tokens.
    """
    n = len(tokens)
    backwards = tokens[::-1]
    z = [0] * n
    left = right = 0  # backwards[left:right] is the match that reaches furthest
    for k in range(1, n):
        length = min(right - k, z[k - left]) if k < right else 0
        while k + length < n and backwards[length] == backwards[k + length]:
            length += 1
        z[k] = length
        if k + length > right:
            left, right = k, k + length
    return z[::-1]
