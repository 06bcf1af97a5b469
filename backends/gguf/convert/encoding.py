"""Weights as they are stored → weights as a GGUF holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
from gguf.quants import quantize

from .errors import ConvertError
from .stored_tensor import DTYPES, Array, StoredTensor

OUTTYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
"""What a user may ask for: the type of matrices, and what the file says of itself."""
STORED = {"F64": "f32", "F32": "f32", "F16": "f16", "BF16": "bf16"}
"""`auto`: the type that loses nothing."""
CHUNK = 1 << 18
"""Values that are converted at a time."""


def target_type(shape: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    """What a tensor becomes: vectors stay precise, and so do rows that don't divide into blocks."""
    if len(shape) < 2:
        return GGMLQuantizationType.F32
    block, _ = GGML_QUANT_SIZES[wanted]
    return wanted if shape[-1] % block == 0 else GGMLQuantizationType.F16


def n_bytes(shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    block, size = GGML_QUANT_SIZES[kind]
    return prod(shape) // block * size


def encoded(values: Array, dtype: str, kind: GGMLQuantizationType, name: str) -> Iterator[Array]:
    """A tensor as a GGUF holds it, some rows at a time, so that it needs no memory of its own. Raises ConvertError, if
    float16 can't hold a value."""
    rows = values.reshape(-1, values.shape[-1])
    step = max(1, CHUNK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        is_same = dtype == kind.name
        yield np.ascontiguousarray(chunk) if is_same else _converted(as_float32(chunk, dtype), kind, name)


def as_float32(values: Array, dtype: str) -> npt.NDArray[np.float32]:
    """Values of a stored type as float32."""
    if dtype == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False)


def auto_outtype(tensors: Iterable[StoredTensor]) -> str:
    """The type that most of the weights are stored in."""
    sizes = dict.fromkeys(STORED, 0)
    for tensor in tensors:
        sizes[tensor.dtype] += tensor.n_elements * DTYPES[tensor.dtype].itemsize
    return STORED[max(sizes, key=lambda dtype: sizes[dtype])]


def _converted(values: npt.NDArray[np.float32], kind: GGMLQuantizationType, name: str) -> Array:
    if kind is GGMLQuantizationType.F16:
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if np.isinf(halves).any() and np.isfinite(values).all():
            raise ConvertError(f"{name} has values beyond float16's range: use --outtype bf16 or f32")
        return np.ascontiguousarray(halves)
    found: Array = np.ascontiguousarray(quantize(values, kind))
    return found
