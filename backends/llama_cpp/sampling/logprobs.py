"""Log-probabilities of tokens, as the API reports them: before any sampler."""

from __future__ import annotations

import math
import threading

import numpy as np

from backends.base import TokenLogprob

from .arrays import Logits, repaired
from .prefilter import highest

LOWEST = -9999.0
"""OpenAI's own value for a token that is all but impossible."""


class Scratch(threading.local):
    """Memory used again by each call: a fresh array of this size costs as much as the sum over it."""

    def __init__(self) -> None:
        self.weights: Logits = np.empty(0, np.float32)


_scratch = Scratch()


def log_probabilities(logits: Logits, token: int, n_top: int) -> TokenLogprob:
    """Log-softmax over all of `logits` (float32 [n_vocab], unchanged) of `token`, and of the `n_top` most likely ones.

    Natural logarithms; equal ones by ascending id; nothing below -9999, which also stands for a logit that is no
    number. About 350 µs for 152k tokens, nearly all of it the exponentials.
    """
    n_top = min(n_top, len(logits))
    peak, ids = highest(logits, max(n_top, 1))
    if not math.isfinite(peak):
        logits = repaired(logits)
        peak, ids = highest(logits, max(n_top, 1))
        if not math.isfinite(peak):
            return TokenLogprob(LOWEST, [(i, LOWEST) for i in range(n_top)])
    if len(_scratch.weights) != len(logits):
        _scratch.weights = np.empty(len(logits), np.float32)
    weights = np.subtract(logits, np.float32(peak), out=_scratch.weights)
    np.exp(weights, out=weights)
    log_total = peak + math.log(float(weights.sum()))

    def of(logit: float) -> float:
        return max(logit - log_total, LOWEST)

    if n_top == 0:
        return TokenLogprob(of(float(logits[token])), [])
    if ids is None:
        ids = np.arange(len(logits))
    best = ids[np.lexsort((ids, -logits[ids]))[:n_top]]
    top = [(int(i), of(float(logits[i]))) for i in best]
    return TokenLogprob(of(float(logits[token])), top)
