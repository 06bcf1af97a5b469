"""How many tokens to draft for each sequence of a batch.

A draft of k tokens, the i-th of which comes true together with all before it with probability odds[i], makes a step
bring its sequence E = 1 + sum(odds[:k]) tokens (Leviathan et al. 2023, arXiv:2211.17192) - and makes the step longer
for everyone in the batch. What is best for all is what makes the sum of the logarithms of everybody's speed greatest
(proportional fairness, Kelly 1997): alone in the batch, a sequence gets the most tokens per second; among others, its
gain must outweigh what they all lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

MARGIN = 0.02
"""What drafts must promise, as a logarithm of speed: times and odds are estimates."""

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 29, 35, 42, 50, 60, 72, 86, 103, 124, 149, 179, 215, 258)
"""Totals that are weighed; step times aren't known any finer."""

Slowdown = Callable[[int], float]
"""How many times as long a step takes with so many drafted tokens in it; never less than for fewer of them."""


def draft_lengths(odds: Sequence[Sequence[float]], slowdown: Slowdown, n_sharers: int, room: int) -> list[int]:
    """Tokens to draft for each of `odds`, at most `room` together.

    `n_sharers`: the sequences in the batch, those without drafts included.
    """
    lengths = [0] * len(odds)
    most = sum(math.log1p(sum(each)) for each in odds)
    if room < 1 or most <= n_sharers * math.log(slowdown(1)) + MARGIN:
        return lengths
    gains = _gains(odds)[:room]
    best, best_utility = 0, MARGIN
    utility, done = 0.0, 0
    for size in (*(size for size in SIZES if size < len(gains)), len(gains)):
        utility += sum(gain for gain, _ in gains[done:size])
        done = size
        loss = n_sharers * math.log(slowdown(size))
        if utility - loss > best_utility:
            best, best_utility = size, utility - loss
        if most - loss <= best_utility:  # larger drafts lose as much, and can't gain more than all there is
            break
    for _, i in gains[:best]:
        lengths[i] += 1
    return lengths


def _gains(odds: Sequence[Sequence[float]]) -> list[tuple[float, int]]:
    """What each drafted token adds to the sum of logarithms, and whose it is: the greatest first. A sequence's own
    come in their order, as each adds less than the one before."""
    gains = []
    for i, each in enumerate(odds):
        expected = 1.0
        for odd in each:
            gains.append((math.log1p(odd / expected), i))
            expected += odd
    if len(odds) > 1:
        gains.sort(key=lambda gain: -gain[0])
    return gains
