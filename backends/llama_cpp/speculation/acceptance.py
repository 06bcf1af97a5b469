"""How often a source's guesses come true, by how long it has been right already.

Every guess at the next token is compared with the token that comes, whether it was computed as a draft or not: a
source that costs nothing to ask is measured without being used. A copy that has gone on for eight tokens goes on
far more surely than one that has just been found, so the length of the streak is what estimates are kept by.
"""

from __future__ import annotations

from collections.abc import Sequence

N_LEVELS = 7
"""Streaks of 0, 1, 2 to 3, 4 to 7, 8 to 15, 16 to 31, and 32 or more right guesses."""
PRIOR_WEIGHT = 4.0
"""Guesses that what was believed before counts for."""
MEMORY = 32.0
"""How long a sequence's own estimate remembers, in guesses."""
SUREST = 0.99
HOPELESS = 0.05
"""Drafts that come true less often are not worth listing."""


class Acceptance:
    """A running estimate. A sequence's own begins with what the source did for other sequences."""

    def __init__(self, prior: Acceptance | Sequence[float], memory: float = MEMORY) -> None:
        """`prior`: a probability for each level, or another estimate, which then learns from this one's guesses.
        `memory`: guesses at one level after which what was seen before them counts half."""
        self._memory = memory
        self._parent = prior if isinstance(prior, Acceptance) else None
        self._fixed = () if isinstance(prior, Acceptance) else tuple(prior)
        self._right = [0.0] * N_LEVELS
        self._tried = [0.0] * N_LEVELS

    def note(self, streak: int, right: bool) -> None:
        """A guess made after `streak` right ones was right or wrong."""
        i = level(streak)
        self._tried[i] += 1
        self._right[i] += right
        if self._tried[i] > self._memory:
            self._tried[i] /= 2
            self._right[i] /= 2
        if self._parent is not None:
            self._parent.note(streak, right)

    def probability(self, streak: int) -> float:
        """That the next guess is right."""
        return self._at(level(streak))

    def odds(self, streak: int, n: int) -> list[float]:
        """For each of the next `n` guesses: the probability that it and all before it are right. Ends early where
        that is hopeless."""
        odds: list[float] = []
        together = 1.0
        while n > 0:
            i = level(streak)
            probability = min(SUREST, self._at(i))
            alike = n if i == N_LEVELS - 1 else min(n, (1 << i) - streak)
            for _ in range(alike):
                together *= probability
                if together < HOPELESS:
                    return odds
                odds.append(together)
            streak += alike
            n -= alike
        return odds

    def _at(self, i: int) -> float:
        prior = self._fixed[i] if self._parent is None else self._parent._at(i)
        return (self._right[i] + PRIOR_WEIGHT * prior) / (self._tried[i] + PRIOR_WEIGHT)


def level(streak: int) -> int:
    """The class of a streak's length."""
    return min(streak.bit_length(), N_LEVELS - 1)
