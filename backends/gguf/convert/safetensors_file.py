"""A safetensors file: its header checked, its tensors read one at a time.

The format: eight bytes with the header's length, the header (JSON: type, shape and place of each tensor), the data.
Read without the `safetensors` package: its NumPy side has no bfloat16.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .errors import ConvertError, check_not_a_pointer
from .stored_tensor import DTYPES, Array, StoredTensor

MAX_HEADER = 100_000_000
"""The format's own bound, in bytes."""


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def safetensors_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file, none of them read yet. Raises ConvertError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            check_not_a_pointer(path, start)
            length = int.from_bytes(start, "little")
            if size < 8 or length > min(size - 8, MAX_HEADER):
                raise ConvertError(f"{path} is truncated or not a safetensors file ({size:,} bytes)")
            header = msgspec.json.decode(file.read(length), type=dict[str, Any])
        header.pop("__metadata__", None)
        entries = msgspec.convert(header, dict[str, _Entry])
    except OSError as error:
        raise ConvertError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # also JSON's, and msgspec's
        raise ConvertError(f"{path} is not a safetensors file: {error}") from None
    return {name: _tensor(path, size, 8 + length, name, entry) for name, entry in entries.items()}


def _tensor(path: Path, size: int, data: int, name: str, entry: _Entry) -> StoredTensor:
    begin, end = entry.data_offsets
    shape = tuple(entry.shape)
    if not 0 <= begin <= end or any(n < 0 for n in shape):
        raise ConvertError(f"{path}: the header's entry of {name} makes no sense")
    if data + end > size:
        raise ConvertError(f"{path} is truncated: {name} ends at byte {data + end:,}, the file at {size:,}")
    dtype = DTYPES.get(entry.dtype)
    if dtype is not None and prod(shape) * dtype.itemsize != end - begin:
        raise ConvertError(f"{path}: {name} has {end - begin:,} bytes, which is not {entry.dtype} {list(shape)}")

    def load() -> Array:
        assert dtype is not None  # others are refused before anything is read
        # Not mapped: pages that have been read would count as the process's memory.
        values: np.ndarray[Any, Any] = np.fromfile(path, dtype, count=prod(shape), offset=data + begin)
        if values.size != prod(shape):
            raise ConvertError(f"{path} has become shorter while it was read")
        return values.reshape(shape)

    return StoredTensor(shape, entry.dtype, load)
