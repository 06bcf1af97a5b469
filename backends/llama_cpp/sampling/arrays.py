"""The array types that the samplers share, and what they do with logits that are no numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
"""One value per token, or per candidate."""
Ids = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.uint32]
"""Tokens, a bit each: token t is bit t % 32 of word t // 32."""

HIGHEST = 1e8
"""Logits are cut to this: far above it, llama.cpp's bucket sort overflows an int and sorts them last."""


def allowed(mask: Mask, n_vocab: int) -> npt.NDArray[np.bool_]:
    """The mask with a value per token."""
    octets = mask.astype("<u4", copy=False).view(np.uint8)
    return np.unpackbits(octets, count=n_vocab, bitorder="little").view(np.bool_)


def usable(peak: float) -> bool:
    """Whether logits whose maximum this is can be sampled as they are. NumPy's maximum is NaN if any of them is."""
    return -np.inf < peak <= HIGHEST


def repaired(logits: Logits, ceiling: float = HIGHEST) -> Logits:
    """A copy with NaN read as -inf (never choose this) and nothing above `ceiling`. All may be -inf."""
    return np.nan_to_num(logits, nan=-np.inf, posinf=np.inf, neginf=-np.inf).clip(None, np.float32(ceiling))
