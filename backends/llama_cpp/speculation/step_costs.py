"""What a step of a certain size costs, as far as drafts are concerned, and when to find out by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backends.llama_cpp.step_time import StepTime

PROBE_SHARE = 1 / 64
"""Part of the time that may go into drafts that don't seem to pay, to see whether they do."""
PROBE_SIZES = (3, 7, 15, 31)
PROBE_ODDS = 0.3
"""Tokens less likely than this aren't worth probing with."""


class StepCosts:
    """Step times, those of steps whose tokens all need logits apart: with a large vocabulary, these take longer."""

    def __init__(self, step_time: StepTime) -> None:
        """`step_time`: of steps of any kind, kept up to date by others."""
        self._any = step_time
        self._decodes = StepTime()
        self._smallest = self._largest = 0
        """Tokens of the smallest and the largest step among the latter."""

    def observe(self, n_tokens: int, seconds: float) -> None:
        """A step whose tokens all needed logits took this long."""
        self._decodes.observe(n_tokens, seconds)
        self._smallest = min(self._smallest or n_tokens, n_tokens)
        self._largest = max(self._largest, n_tokens)

    def estimate(self, n_tokens: int) -> float:
        """Seconds that such a step will take. 0.0: not known, as all measured ones were larger."""
        if not self._largest or n_tokens < self._smallest:
            return 0.0
        if n_tokens <= self._largest:
            return self._decodes.estimate(n_tokens)
        growth = self._any.estimate(n_tokens) / self._any.estimate(self._largest)
        return self._decodes.estimate(self._largest) * growth


class Probes:
    """Now and then a draft that doesn't seem to pay: estimates of what is never tried are never corrected."""

    def __init__(self) -> None:
        self._allowance = 0.0
        """Seconds that a probe may cost by now."""
        self._count = 0

    def earn(self, seconds: float) -> None:
        """So much time was spent on steps."""
        self._allowance += PROBE_SHARE * seconds

    def lengths(self, odds: Sequence[Sequence[float]], cost: Callable[[int], float]) -> list[int]:
        """How much of which draft to try, if any; `cost`: the seconds by which so many tokens lengthen the step."""
        lengths = [0] * len(odds)
        surest = max(range(len(odds)), key=lambda i: sum(odds[i]))
        n = PROBE_SIZES[self._count % len(PROBE_SIZES)]
        n = min(n, sum(odd >= PROBE_ODDS for odd in odds[surest]))
        if n and cost(n) <= self._allowance:
            self._allowance = 0.0
            self._count += 1
            lengths[surest] = n
        return lengths
