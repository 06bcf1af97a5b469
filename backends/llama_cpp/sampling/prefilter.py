"""Which tokens can survive the chain's first filter, found in NumPy so that the C chain needn't see all the others.

Exact: what is dropped would have been dropped before any sampler could look at it. So it is done only if top_k or
min_p comes first; a plain temperature may stand before them, since it changes neither order nor ratios.
Measured over 152k tokens, a draw by the default chain takes 84 µs instead of 277; with top_k 200, 90 instead of 917.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from backends.base import SamplingParams

from .arrays import Indices, Logits

Prefilter = Callable[[Logits], tuple[float, Indices | None]]
"""logits [n_vocab] → the highest logit (NaN if any is), and the surviving ids in ascending order; None: all of them."""


def prefilter_for(order: Sequence[str], params: SamplingParams) -> Prefilter:
    """The prefilter that is exact for the active samplers in `order` (those that are switched off left out)."""
    temperature = 1.0
    for name in order:
        if name == "temperature" and params.temperature > 0 and params.dynatemp_range <= 0:
            temperature *= params.temperature
        elif name == "top_k":
            return _top_k(params.top_k)
        elif name == "min_p":
            return _min_p(params.min_p, temperature, params.min_keep)
        else:
            break
    return _everything


def highest(logits: Logits, k: int) -> tuple[float, Indices | None]:
    """The k highest and all that equal the k-th, perhaps a few more. None: no saving, or fewer than k are possible.

    Cut the row into many more than k parts; the k-th highest of their maxima is no higher than the k-th logit.
    NumPy's methods and ufuncs, not its functions around them: those take 20 to 60 µs more from cold caches.
    """
    depth = min(64, len(logits) // (8 * k))
    if depth < 2:
        return float(logits.max()), None
    width = len(logits) // depth
    whole = depth * width
    maxima = np.maximum.reduce(logits[:whole].reshape(depth, width))
    if whole < len(logits):
        maxima = np.concatenate((maxima, logits[whole:]))
    maxima.partition(-k)
    threshold, peak = maxima[-k], float(np.maximum.reduce(maxima[-k:]))
    if not threshold > -np.inf:
        return peak, None
    return peak, (logits >= threshold).nonzero()[0]


def _everything(logits: Logits) -> tuple[float, Indices | None]:
    return float(logits.max()), None


def _top_k(k: int) -> Prefilter:
    def survivors(logits: Logits) -> tuple[float, Indices | None]:
        return highest(logits, k)

    return survivors


def _min_p(p: float, temperature: float, min_keep: int) -> Prefilter:
    distance = -math.log(min(p, 1.0)) * temperature

    def survivors(logits: Logits) -> tuple[float, Indices | None]:
        peak = float(logits.max())
        rounding = 1e-3 + 1e-5 * abs(peak)  # llama.cpp's own arithmetic is float32: leave the close calls to it
        ids = np.flatnonzero(logits >= peak - distance - rounding)
        return peak, ids if len(ids) >= max(min_keep, 1) else None

    return survivors
