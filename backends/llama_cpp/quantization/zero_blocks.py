"""Weights that llama.cpp's IQ3_S stores wrongly: blocks of 32 zeros, as pruned models and unused heads have them.

At such a block, llama.cpp 0c1e57098 forgets to go on to the next place in the output (`quantize_row_iq3_s_impl`), so
the rest of the 256 values is shifted: the demo model's perplexity goes from 3.4 to 2,000. Its other types are right.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.gguf.model_file import read_model_file

STORED_WRONGLY = "IQ3_S"
BLOCK = 32
BLOCKS = 8
"""That are stored together."""
STEP = 1 << 22
"""Values looked at at a time, a multiple of BLOCK * BLOCKS."""
_BITS = {"F32": (np.uint32, 0x7FFF_FFFF), "F16": (np.uint16, 0x7FFF), "BF16": (np.uint16, 0x7FFF)}
"""How values are stored, and which bits of them say that they aren't zero."""


def with_zero_blocks(source: Path, names: Collection[str]) -> list[str]:
    """Those of the tensors called `names` that have such blocks; of quantized tensors nothing is known."""
    found = []
    for part in read_model_file(source).parts:
        for tensor in part.tensors:
            if tensor.name in names and tensor.type.name in _BITS:
                kind, mask = _BITS[tensor.type.name]
                start = part.data_position + tensor.offset
                values = np.memmap(part.path, kind, "r", start, (tensor.n_values,))
                pieces = (values[i : i + STEP] for i in range(0, len(values), STEP))
                if any(_shifts(piece & mask) for piece in pieces):
                    found.append(tensor.name)
    return found


def _shifts(values: npt.NDArray[Any]) -> bool:
    """Whether a block of zeros has another one after it. Those at the end, or alone, shift nothing."""
    zero = (values.reshape(-1, BLOCKS, BLOCK) == 0).all(axis=2)
    return bool((zero[:, :-1] & ~zero[:, 1:]).any())
