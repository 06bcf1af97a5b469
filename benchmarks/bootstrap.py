"""How two servers compare over paired runs: the median of the pairs' ratios, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
FEWEST = 6
"""Pairs of which an interval of the median can hold so much: of 5, even all of their range has only 94 %."""


@dataclass(frozen=True)
class Estimate:
    """A median over pairs, and its bootstrap interval (percentiles; Efron, 1979). One pair has no width."""

    value: float
    low: float
    high: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Ours over theirs, run i of the one against run i of the other."""
    return median_of(np.asarray(ours) / np.asarray(theirs))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Ours minus theirs, likewise."""
    return median_of(np.asarray(ours) - np.asarray(theirs))


def median_of(pairs: np.ndarray) -> Estimate:
    """`pairs` holds one value for each pair of runs; at least one. The same values give the same interval."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(pairs, (RESAMPLES, len(pairs))), axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return Estimate(float(np.median(pairs)), float(low), float(high))
