"""A tensor where it is stored: known by name, shape and type, read when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
}
"""The types of weights, as safetensors calls them, and what NumPy holds them in: it has no bfloat16."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint."""

    shape: tuple[int, ...]
    dtype: str
    """One of DTYPES, or what a tensor that is no weight has, as `I64`."""
    load: Callable[[], Array]
    """Reads all of it, from disk, as NumPy's type in DTYPES."""

    @property
    def n_elements(self) -> int:
        return prod(self.shape)
