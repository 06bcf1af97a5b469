"""Repetition, frequency and presence penalties over the last tokens of prompt and text."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from backends.base import SamplingParams

from .arrays import Ids, Indices, Logits


class RepeatPenalties:
    """Counts tokens in the last `repeat_last_n` (-1: in all) and makes those that occurred less likely, or more.

    As llama.cpp: a positive logit is divided by `repeat_penalty`, any other multiplied; then `frequency_penalty` per
    occurrence and `presence_penalty` are subtracted.
    """

    def __init__(self, params: SamplingParams, prompt: Sequence[int]) -> None:
        self._repeat = np.float32(params.repeat_penalty)
        self._frequency = np.float32(params.frequency_penalty)
        self._presence = np.float32(params.presence_penalty)
        self._last_n = params.repeat_last_n
        window = np.array(prompt if self._last_n < 0 else prompt[-self._last_n :], np.int32)
        # With a window, what leaves it must be known; without one nothing ever leaves.
        self._window = deque(window.tolist()) if self._last_n >= 0 else None
        # Dense arrays of the distinct tokens and how often each occurs; `_place` finds a token's index in them.
        ids, counts = np.unique(window, return_counts=True)
        self._ids: Ids = ids
        self._counts: npt.NDArray[np.int32] = counts.astype(np.int32)
        self._place = {token: i for i, token in enumerate(ids.tolist())}

    @staticmethod
    def active(params: SamplingParams) -> bool:
        without_effect = params.repeat_penalty == 1 and params.frequency_penalty == 0 and params.presence_penalty == 0
        return params.repeat_last_n != 0 and not without_effect

    def copy(self) -> RepeatPenalties:
        another = copy(self)
        another._window = copy(self._window)
        another._ids, another._counts = self._ids.copy(), self._counts.copy()
        another._place = self._place.copy()
        return another

    def accept(self, token: int) -> None:
        self._add(token)
        if self._window is not None:
            self._window.append(token)
            if len(self._window) > self._last_n:
                self._remove(self._window.popleft())

    def affected(self) -> Ids:
        return self._ids[: len(self._place)]

    def changed(self, logits: Logits, which: Indices | slice) -> Logits:
        counts = self._counts[: len(self._place)][which].astype(np.float32)
        repeated = np.where(logits <= 0, logits * self._repeat, logits / self._repeat)
        changed: Logits = repeated - (counts * self._frequency + self._presence)
        return changed

    def _add(self, token: int) -> None:
        place = self._place.get(token)
        if place is not None:
            self._counts[place] += 1
            return
        n = len(self._place)
        if n == len(self._ids):
            self._ids = np.resize(self._ids, 2 * n + 16)
            self._counts = np.resize(self._counts, 2 * n + 16)
        self._ids[n], self._counts[n] = token, 1
        self._place[token] = n

    def _remove(self, token: int) -> None:
        place = self._place[token]
        self._counts[place] -= 1
        if self._counts[place]:
            return
        last = len(self._place) - 1
        moved = int(self._ids[last])
        self._ids[place], self._counts[place] = moved, self._counts[last]
        self._place[moved] = place
        del self._place[token]
