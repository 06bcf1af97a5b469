"""Importance matrices: how large each input of a tensor typically is, as llama.cpp's llama-imatrix measures it.

In a GGUF as it writes them now, or in the older format of bare numbers (.dat, .imatrix).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from backends.gguf.byte_reader import GGUFError
from backends.gguf.header import MAGIC, Header, Tensor, read_header

from ..job import JobFailed

Values = npt.NDArray[np.float32]

SUMS, COUNTS = ".in_sum2", ".counts"
"""What llama-imatrix appends to a tensor's name."""
MAX_NAME = 4096
"""Bytes, in the older format; a longer name shows that it is something else."""


@dataclass(frozen=True)
class ImportanceMatrix:
    entries: dict[str, Values]
    """A tensor's name → mean squares of its inputs, float32 [columns], one after the other for each expert."""
    datasets: list[str]
    """The texts it was made from."""
    n_chunks: int
    """How many chunks of them; 0: not said."""


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Raises JobFailed: no importance matrix, broken, or with numbers that are none."""
    try:
        with path.open("rb") as stream:
            is_gguf = stream.read(len(MAGIC)) == MAGIC
            stream.seek(0)
            found = _from_gguf(path, stream) if is_gguf else _from_numbers(stream)
    except OSError as error:
        raise JobFailed(f"cannot open {path}: {error.strerror or error}") from None
    except (GGUFError, _Broken) as error:
        raise JobFailed(f"{path} is no importance matrix: {error}") from None
    for name, values in found.entries.items():
        if not np.isfinite(values).all():
            raise JobFailed(f"{path} has values for {name} that aren't numbers: it must be made again")
    return found


class _Broken(Exception):
    """The file doesn't hold what it should."""


def _from_gguf(path: Path, stream: BinaryIO) -> ImportanceMatrix:
    header = read_header(path)
    if header.missing_bytes:
        raise _Broken(f"it is truncated, {header.missing_bytes} bytes are missing")
    tensors = {tensor.name: tensor for tensor in header.tensors}
    sums = [name for name in tensors if name.endswith(SUMS)]
    if not sums:
        raise _Broken(f"it has no tensors called …{SUMS}")
    entries = {}
    for name in sums:
        weight = name.removesuffix(SUMS)
        counts = tensors.get(weight + COUNTS)
        if counts is None:
            raise _Broken(f"{weight} has no {COUNTS}")
        entries[weight] = _means(_data(header, tensors[name], stream), _data(header, counts, stream))
    datasets = header.array("imatrix.datasets")
    return ImportanceMatrix(
        entries,
        [str(item) for item in (datasets.items or ())] if datasets else [],
        header.integer("imatrix.chunk_count") or 0,
    )


def _data(header: Header, tensor: Tensor, stream: BinaryIO) -> Values:
    if tensor.type.name != "F32":
        raise _Broken(f"{tensor.name} is {tensor.type.name}, not F32")
    stream.seek(header.data_position + tensor.offset)
    return np.frombuffer(stream.read(tensor.n_bytes), np.float32)


def _means(sums: Values, counts: Values) -> Values:
    """By expert; one that was never used counts as ordinary."""
    if not counts.size or sums.size % counts.size:
        raise _Broken(f"{sums.size} sums and {counts.size} counts")
    by_expert, counts = sums.reshape(counts.size, -1), np.rint(counts)[:, None]
    means = np.divide(by_expert, counts, out=np.ones_like(by_expert), where=counts > 0)
    return np.ascontiguousarray(means.reshape(-1), np.float32)


def _from_numbers(stream: BinaryIO) -> ImportanceMatrix:
    entries: dict[str, Values] = {}
    n_entries = _integer(stream)
    if n_entries < 1:
        raise _Broken("it has no entries")
    for _ in range(n_entries):
        name = _name(stream)
        n_calls, n_values = _integer(stream), _integer(stream)
        if n_values < 1:
            raise _Broken(f"{name} has no values")
        values = np.frombuffer(_bytes(stream, 4 * n_values), np.float32)
        entries[name] = values / np.float32(n_calls) if n_calls > 0 else values
    if not (rest := stream.read(4)):  # what follows is optional
        return ImportanceMatrix(entries, [], 0)
    n_chunks = int(struct.unpack("<i", rest.ljust(4, b"\0"))[0])
    try:
        return ImportanceMatrix(entries, [_name(stream)], n_chunks)
    except _Broken:
        return ImportanceMatrix(entries, [], n_chunks)


def _name(stream: BinaryIO) -> str:
    length = _integer(stream)
    if not 0 < length <= MAX_NAME:
        raise _Broken(f"a name of {length} bytes")
    return _bytes(stream, length).decode(errors="replace")


def _integer(stream: BinaryIO) -> int:
    return int(struct.unpack("<i", _bytes(stream, 4))[0])


def _bytes(stream: BinaryIO, count: int) -> bytes:
    if count > os.fstat(stream.fileno()).st_size - stream.tell():
        raise _Broken("it ends too early")
    return stream.read(count)
