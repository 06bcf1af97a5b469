"""Weights that llama.cpp's IQ3_S stores wrongly: blocks of 32 zeros, as pruned models and unused heads have them.

At such a block, llama.cpp 0c1e57098 forgets to go on to the next place in the output (`quantize_row_iq3_s_impl`), so
the rest of the 256 values is shifted: the demo model's perplexity goes from 3.4 to 2,000. Its other types are right.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.gguf.header import read_header

STORED_WRONGLY = "IQ3_S"
BLOCK = 32
BLOCKS = 8
"""That are stored together."""
STEP = 1 << 22
"""Values looked at at a time, a multiple of BLOCK * BLOCKS."""
_BITS = {"F32": (np.uint32, 0x7FFF_FFFF), "F16": (np.uint16, 0x7FFF), "BF16": (np.uint16, 0x7FFF)}
"""How values are stored, and which bits of them say that they aren't zero."""
_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")


def with_zero_blocks(source: Path, names: Collection[str]) -> list[str]:
    """Those of the tensors called `names` that have such blocks; of quantized tensors nothing is known."""
    found = []
    for path in _parts(source):
        header = read_header(path)
        for tensor in header.tensors:
            if tensor.name in names and tensor.type.name in _BITS:
                kind, mask = _BITS[tensor.type.name]
                start = header.data_position + tensor.offset
                values = np.memmap(path, kind, "r", start, (tensor.n_values,))
                pieces = (values[i : i + STEP] for i in range(0, len(values), STEP))
                if any(_shifts(piece & mask) for piece in pieces):
                    found.append(tensor.name)
    return found


def _shifts(values: npt.NDArray[Any]) -> bool:
    """Whether a block of zeros has another one after it. Those at the end, or alone, shift nothing."""
    zero = (values.reshape(-1, BLOCKS, BLOCK) == 0).all(axis=2)
    return bool((zero[:, :-1] & ~zero[:, 1:]).any())


def _parts(source: Path) -> Iterator[Path]:
    """The files of a model, by the name of the first."""
    split = _PART.search(source.name)
    if split is None:
        yield source
        return
    for i in range(1, int(split[1]) + 1):
        yield source.with_name(f"{source.name[: split.start()]}-{i:05}-of-{split[1]}.gguf")
