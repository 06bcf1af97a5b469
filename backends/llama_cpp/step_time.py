"""How long a step takes by the number of tokens in its batch, learned from the steps themselves."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

REMEMBERED = 5
"""Steps of about the same size that are remembered: their median lets neither one slow step nor an old load count."""


class StepTime:
    """Measured step times, and estimates between and beyond them.

    Sizes up to 8 tokens are kept apart; larger ones in classes whose bounds grow by a fifth. What attention adds for
    a long context is in the measurements, not in the model: they follow the load within a few steps.
    """

    def __init__(self) -> None:
        self._steps: dict[int, deque[tuple[int, float]]] = {}
        self._changed: set[int] = set()
        """Classes with steps that the following don't know of yet: most steps come and go without anyone asking."""
        self._points: dict[int, tuple[float, float]] = {}
        """The median size and time of each class."""
        self._sizes: list[float] = []
        self._seconds: list[float] = []
        """The same, ascending in both."""

    def observe(self, n_tokens: int, seconds: float) -> None:
        """A step with `n_tokens` in its batch took this long."""
        size_class = _class(n_tokens)
        if size_class not in self._steps:
            self._steps[size_class] = deque(maxlen=REMEMBERED)
        self._steps[size_class].append((n_tokens, seconds))
        self._changed.add(size_class)

    def estimate(self, n_tokens: int) -> float:
        """Seconds that a step of this size will take, never less than one of fewer tokens. 0.0: nothing is known.

        Beyond the largest measured step it grows in proportion, as computing does; below the smallest it is that one's.
        """
        if self._changed:
            self._update()
        sizes, seconds = self._sizes, self._seconds
        if not sizes:
            return 0.0
        i = bisect_right(sizes, n_tokens)
        if i == 0:
            return seconds[0]
        if i == len(sizes):
            return seconds[-1] * (n_tokens / sizes[-1])
        part = (n_tokens - sizes[i - 1]) / (sizes[i] - sizes[i - 1])
        return min(seconds[i - 1] + part * (seconds[i] - seconds[i - 1]), seconds[i])  # rounding may exceed it

    def largest_within(self, budget: float, most: int) -> int:
        """The most tokens, `most` at the highest, whose step is estimated to take no longer than `budget` seconds."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.estimate(middle) <= budget:
                low = middle
            else:
                high = middle - 1
        return low

    def _update(self) -> None:
        for size_class in self._changed:
            sizes, seconds = zip(*self._steps[size_class], strict=True)
            self._points[size_class] = (_median(sizes), _median(seconds))
        self._changed.clear()
        points = [point for _, point in sorted(self._points.items())]
        self._sizes = [size for size, _ in points]
        self._seconds = list(accumulate((seconds for _, seconds in points), max))


def _median(values: Sequence[float]) -> float:
    """As `statistics.median`, a fifth of whose time goes into this."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _class(n_tokens: int) -> int:
    return n_tokens if n_tokens <= 8 else 8 + round(4 * math.log2(n_tokens / 8))
