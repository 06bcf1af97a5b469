"""Tail-free sampling, which llama.cpp had until its pull request 10071.

Source: Trenton Bricken, "Tail Free Sampling" (2019), as llama.cpp computed it: over the candidates sorted by
probability, the absolute second difference of the probabilities, normalised to sum 1; the tail begins where the
running sum exceeds z.
"""

from __future__ import annotations

import numpy as np

from .arrays import Logits
from .candidates import Candidates


class TailFree:
    """Cut the tail off. At least `min_keep` candidates stay, and always one."""

    def __init__(self, z: float, min_keep: int) -> None:
        self._z = z
        self._min_keep = max(min_keep, 1)

    def __call__(self, candidates: Candidates) -> None:
        if candidates.size <= 2:
            return
        entries = candidates.entries
        logits = np.sort(entries["logit"])[::-1]
        weights = np.exp(logits - logits[0])
        n = head_size(weights / weights.sum(), self._z, self._min_keep)
        # Sorting values is ten times as fast as sorting what they belong to, so that is done to the head alone.
        head = entries[entries["logit"] >= logits[n - 1]]
        candidates.replace(head[np.argsort(-head["logit"], kind="stable")][:n], in_order=True)


def head_size(probabilities: Logits, z: float, min_keep: int) -> int:
    """How many of at least three probabilities, highest first, come before the tail."""
    curvature = np.abs(np.diff(probabilities, n=2))
    total = curvature.sum()
    if total > 1e-6:
        running = np.cumsum(curvature / total)
    else:  # a straight line has no bend: every candidate counts the same
        running = np.arange(1, len(curvature) + 1) / len(curvature)
    beyond = np.flatnonzero(running[min_keep:] > z)
    return min_keep + int(beyond[0]) if len(beyond) else len(probabilities)
