"""Each sampler written down again from its definition, in float64 NumPy: candidates in, candidates out.

A distribution is `(ids, logits)`, best first. Nothing here is shared with the code under test.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Distribution = tuple[npt.NDArray[np.int64], F64]


def start(logits: npt.NDArray[np.float32]) -> Distribution:
    ids = np.argsort(-logits.astype(np.float64), kind="stable")
    return ids, logits.astype(np.float64)[ids]


def softmax(logits: F64) -> F64:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def take(d: Distribution, kept: npt.ArrayLike) -> Distribution:
    return d[0][kept], d[1][kept]


def entropy(p: F64) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def top_k(d: Distribution, k: int) -> Distribution:
    return take(d, slice(0, k))


def top_p(d: Distribution, p: float, min_keep: int = 0) -> Distribution:
    needed = int(np.searchsorted(np.cumsum(softmax(d[1])), p)) + 1
    return take(d, slice(0, max(needed, min_keep)))


def min_p(d: Distribution, p: float, min_keep: int = 0) -> Distribution:
    probabilities = softmax(d[1])
    n = int((probabilities >= p * probabilities[0]).sum())
    return take(d, slice(0, max(n, min_keep, 1)))


def typical_p(d: Distribution, p: float, min_keep: int = 0) -> Distribution:
    probabilities = softmax(d[1])
    oddness = np.abs(-np.log(probabilities) - entropy(probabilities))
    by_oddness = np.argsort(oddness, kind="stable")
    n = int(np.searchsorted(np.cumsum(probabilities[by_oddness]), p, side="right")) + 1
    return take(d, np.sort(by_oddness[: max(n, min_keep)]))


def tfs_z(d: Distribution, z: float, min_keep: int = 0) -> Distribution:
    probabilities = softmax(d[1])
    if len(probabilities) <= 2:
        return d
    slope = [probabilities[i] - probabilities[i + 1] for i in range(len(probabilities) - 1)]
    bend = [abs(slope[i] - slope[i + 1]) for i in range(len(slope) - 1)]
    total, seen = sum(bend), 0.0
    for i, value in enumerate(bend):
        seen += value / total
        if seen > z and i >= max(min_keep, 1):
            return take(d, slice(0, i))
    return d


def top_n_sigma(d: Distribution, n: float) -> Distribution:
    return take(d, d[1] >= d[1].max() - n * d[1].std())


def xtc(d: Distribution, threshold: float, min_keep: int = 0) -> Distribution:
    """As if the die said yes."""
    n_top = int((softmax(d[1]) >= threshold).sum())
    if n_top < 2 or len(d[0]) - (n_top - 1) < min_keep:
        return d
    return take(d, slice(n_top - 1, None))


def temperature(d: Distribution, t: float) -> Distribution:
    return d[0], d[1] / t


def dynamic_temperature(d: Distribution, t: float, spread: float, exponent: float) -> Distribution:
    if len(d[0]) < 2:
        return d
    low, high = max(0.0, t - spread), t + spread
    share = entropy(softmax(d[1])) / np.log(len(d[0]))
    return temperature(d, low + (high - low) * share**exponent)


def penalties(
    logits: npt.NDArray[np.float32], last: list[int], repeat: float, frequency: float, presence: float
) -> npt.NDArray[np.float32]:
    changed = logits.astype(np.float64)
    for token in set(last):
        changed[token] = changed[token] / repeat if changed[token] > 0 else changed[token] * repeat
        changed[token] -= last.count(token) * frequency + presence
    return changed.astype(np.float32)


def adapted(d: Distribution, target: float) -> F64:
    """adaptive-p's probabilities for a target of this step."""
    distance = np.abs(softmax(d[1]) - target) / 0.3
    return softmax(5 - 10 * distance**2 / (1 + distance))
