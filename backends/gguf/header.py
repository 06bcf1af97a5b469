"""A GGUF's header: its key-values and what tensors it has. The tensors' data is never read.

Files may come from anybody: each count, length and size is checked before it is believed, vocabularies are passed
over, and what is wrong is one line. What this lets through, llama.cpp's own reader takes as well.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .byte_reader import ByteReader, GGUFError
from .tensor_types import TENSOR_TYPES, TensorType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = "general.alignment"
DEFAULT_ALIGNMENT = 32

STRING, ARRAY = 8, 9
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Numbers of value types → struct's codes."""
BYTES = {"B": 1, "b": 1, "?": 1, "H": 2, "h": 2, "I": 4, "i": 4, "f": 4, "Q": 8, "q": 8, "d": 8}
UINT32 = 4

MAX_KEYS = 65_536
MAX_TENSORS = 262_144
"""A hundred times what the largest models have."""
MAX_NAME = 63
"""Bytes of a tensor's name, as in ggml."""
MAX_KEY = 65_535
"""Bytes of a key, as the format's document says."""
MAX_DIMENSIONS = 4
MAX_SIZE = 2**63 - 1
KEPT_NUMBERS, KEPT_STRINGS = 1024, 64
"""Longer arrays are passed over: vocabularies. One number or flag for each layer is kept (llama.cpp: 512 at most)."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array among the key-values; `items` is None where it was too long to be kept."""

    count: int
    items: tuple[int | float | bool | str, ...] | None
    position: int
    """Where in the file its first item is."""


Value = int | float | bool | str | Array


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    """Innermost first, as ggml counts: a matrix's columns, then its rows."""
    type: TensorType
    offset: int
    """From the start of the data."""

    @property
    def n_values(self) -> int:
        n = 1
        for size in self.shape:
            n *= size
        return n

    @property
    def n_bytes(self) -> int:
        return self.n_values // self.type.block * self.type.block_bytes


@dataclass(frozen=True)
class Header:
    """What a GGUF's header says."""

    path: Path
    version: int
    byte_order: str
    """`little` or `big`, as in `sys.byteorder`."""
    values: dict[str, Value]
    tensors: tuple[Tensor, ...]
    data_position: int
    """Where in the file the tensors' data starts."""
    file_size: int

    @property
    def missing_bytes(self) -> int:
        """How much of the tensors' data the file lacks."""
        end = max((tensor.offset + tensor.n_bytes for tensor in self.tensors), default=0)
        return max(0, self.data_position + end - self.file_size) if self.tensors else 0

    @property
    def architecture(self) -> str:
        return self.text("general.architecture") or ""

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        value = self.values.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """A finite one: what says NaN says nothing."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value)

    def array(self, key: str) -> Array | None:
        value = self.values.get(key)
        return value if isinstance(value, Array) else None


def read_header(path: Path) -> Header:
    """The header of one file. Data that is missing at the file's end is told (`missing_bytes`), not refused. Raises
    GGUFError."""
    try:
        if path.is_fifo():  # to open one is to wait for whoever writes to it
            raise GGUFError("it is a pipe: a file is needed, whose parts can be read in any order")
        with path.open("rb") as stream:
            return _read(path, stream)
    except OSError as error:
        raise GGUFError(f"it cannot be read: {error.strerror or error}") from None


def read_strings(header: Header, key: str, wanted: set[int]) -> dict[int, str]:
    """Some items of an array of strings that was passed over, by index. Raises GGUFError."""
    array = header.array(key)
    found: dict[int, str] = {}
    if array is None:
        return found
    try:
        with header.path.open("rb") as stream:
            reader = ByteReader(stream)
            reader.order = "<" if header.byte_order == "little" else ">"
            reader.skip(array.position)
            at = 0
            for index in sorted(i for i in wanted if 0 <= i < array.count):
                reader.skip_strings(index - at)
                found[index] = reader.string(f"item {index} of {_shown(key)}")
                at = index + 1
    except OSError as error:
        raise GGUFError(f"it cannot be read: {error.strerror or error}") from None
    return found


def _read(path: Path, stream: BinaryIO) -> Header:
    reader = ByteReader(stream)
    version = _version(reader)
    n_tensors, n_keys = reader.integer("Q"), reader.integer("Q")
    if n_keys > MAX_KEYS:
        raise GGUFError(f"it claims {n_keys} key-values: broken, or no GGUF (at most {MAX_KEYS} are read)")
    if n_tensors > MAX_TENSORS:
        raise GGUFError(f"it claims {n_tensors} tensors: broken, or no GGUF (at most {MAX_TENSORS} are read)")
    values: dict[str, Value] = {}
    for _ in range(n_keys):
        key = reader.string("a key", MAX_KEY)
        if not key:
            raise GGUFError("a key is empty")
        if key in values:
            raise GGUFError(f"key {_shown(key)} is there twice")
        values[key] = _value(reader, key)
    alignment = _alignment(values)
    tensors = _tensors(reader, n_tensors, alignment)
    # A file of key-values alone, as vocabularies are, has nothing to align.
    start = -(-reader.position // alignment) * alignment if tensors else reader.position
    order = "little" if reader.order == "<" else "big"
    return Header(path, version, order, values, tensors, start, reader.size)


def _version(reader: ByteReader) -> int:
    """Check the magic and the version, and find the byte order."""
    if reader.size == 0:
        raise GGUFError("the file is empty")
    magic = reader.raw(min(4, reader.size))
    if magic != MAGIC:
        raise GGUFError(f"not a GGUF file (it starts with {magic!r}, not {MAGIC!r})")
    version = reader.integer("I")
    if version and not version & 0xFFFF:
        reader.order = ">"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version == 1:
        raise GGUFError("it is of GGUF's version 1, which llama.cpp no longer reads: convert the model again")
    if version not in VERSIONS:
        raise GGUFError(f"it is of GGUF's version {version}: only {' and '.join(map(str, VERSIONS))} can be read")
    return version


def _value(reader: ByteReader, key: str) -> Value:
    kind = reader.integer("I")
    if key == ALIGNMENT and kind != UINT32:
        raise GGUFError(f"{ALIGNMENT} is not of the type that it must be (uint32)")
    if kind == STRING:
        return reader.string(f"the value of {_shown(key)}")
    if kind == ARRAY:
        return _array(reader, key)
    if kind not in NUMBERS:
        raise GGUFError(f"the value of {_shown(key)} is of an unknown type ({kind})")
    return reader.number(NUMBERS[kind])


def _array(reader: ByteReader, key: str) -> Array:
    kind, count = reader.integer("I"), reader.integer("Q")
    position = reader.position
    if kind == STRING:
        _check_count(reader, key, count, 8)
        if count > KEPT_STRINGS:
            reader.skip_strings(count)
            return Array(count, None, position)
        return Array(count, tuple(reader.string(f"an item of {_shown(key)}") for _ in range(count)), position)
    if kind == ARRAY:
        raise GGUFError(f"the value of {_shown(key)} is an array of arrays")
    if kind not in NUMBERS:
        raise GGUFError(f"the value of {_shown(key)} is an array of an unknown type ({kind})")
    code = NUMBERS[kind]
    _check_count(reader, key, count, BYTES[code])
    if count > KEPT_NUMBERS:
        reader.skip(count * BYTES[code])
        return Array(count, None, position)
    return Array(count, reader.numbers(code, count), position)


def _check_count(reader: ByteReader, key: str, count: int, item_bytes: int) -> None:
    if count * item_bytes > reader.remaining:
        raise GGUFError(
            f"the value of {_shown(key)} would have {count} items, and {reader.remaining} bytes are left: "
            "the file is truncated or broken"
        )


def _alignment(values: dict[str, Value]) -> int:
    alignment = values.get(ALIGNMENT, DEFAULT_ALIGNMENT)
    assert isinstance(alignment, int)
    if not alignment or alignment & (alignment - 1):  # more than one bit
        raise GGUFError(f"{ALIGNMENT} is {alignment}, not a power of two")
    return alignment


def _tensors(reader: ByteReader, count: int, alignment: int) -> tuple[Tensor, ...]:
    tensors, names, end = [], set(), 0
    for _ in range(count):
        tensor = _tensor(reader)
        if tensor.name in names:
            raise GGUFError(f"tensor {_shown(tensor.name)} is there twice")
        names.add(tensor.name)
        if tensor.offset != end:
            raise GGUFError(f"tensor {_shown(tensor.name)} is at offset {tensor.offset} of the data, not at {end}")
        end += -(-tensor.n_bytes // alignment) * alignment
        if end > MAX_SIZE:
            raise GGUFError(f"tensor {_shown(tensor.name)} ends beyond any file")
        tensors.append(tensor)
    return tuple(tensors)


def _tensor(reader: ByteReader) -> Tensor:
    name = reader.string("a tensor's name", MAX_NAME)
    n_dimensions = reader.integer("I")
    if n_dimensions > MAX_DIMENSIONS:
        raise GGUFError(f"tensor {_shown(name)} has {n_dimensions} dimensions: at most {MAX_DIMENSIONS} are possible")
    shape = tuple(map(int, reader.numbers("Q", n_dimensions)))
    kind, offset = reader.integer("I"), reader.integer("Q")
    if kind not in TENSOR_TYPES:
        raise GGUFError(f"tensor {_shown(name)} is of a type ({kind}) that this version of llama.cpp doesn't have")
    tensor = Tensor(name, shape, TENSOR_TYPES[kind], offset)
    # Zeros don't help the other sizes, which are multiplied too.
    product = 1
    for size in shape:
        product *= max(1, size)
    if product > MAX_SIZE or tensor.n_bytes > MAX_SIZE:
        raise GGUFError(f"tensor {_shown(name)} is impossibly large ({' x '.join(map(str, shape))})")
    if shape and shape[0] % tensor.type.block:
        raise GGUFError(
            f"tensor {_shown(name)} has rows of {shape[0]} values, which {tensor.type.name} can't store "
            f"(blocks of {tensor.type.block})"
        )
    return tensor


def _shown(text: str) -> str:
    """A name from a file, as a message may show it: one line, and not a long one."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:76]}…'"


def is_native(header: Header) -> bool:
    """Whether this machine's byte order is the file's: llama.cpp reads no other."""
    return header.byte_order == sys.byteorder
