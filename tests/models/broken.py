"""Files that are not loadable GGUFs, each wrong in one way."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.models.families import write_model

GGUF_VERSION = 3
UINT32, STRING, ARRAY = 4, 8, 9
F32 = 0


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _header(*, magic: bytes = b"GGUF", version: int = GGUF_VERSION, n_tensors: int = 0, n_keys: int = 0) -> bytes:
    return magic + struct.pack("<IQQ", version, n_tensors, n_keys)


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _string(name) + struct.pack("<I", kind) + value


ARCHITECTURE = _key("general.architecture", STRING, _string("llama"))


def _tensor(name: str, sizes: list[int], *, kind: int = F32, offset: int = 0) -> bytes:
    return _string(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def _whole() -> bytes:
    """A loadable model's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return write_model(Path(folder) / "whole.gguf", "llama").read_bytes()


def _truncated_data() -> bytes:
    whole = _whole()
    return whole[: len(whole) * 2 // 3]


def _truncated_header() -> bytes:
    return _whole()[:1000]


def _renamed_tensor() -> bytes:
    """A layer lacks a tensor that its architecture needs."""
    return _whole().replace(b"blk.1.ffn_down.weight", b"blk.1.ffn_gone.weight")


def _layers(count: int) -> bytes:
    """A loadable model that claims another number of layers."""
    key = _string("llama.block_count") + struct.pack("<I", UINT32)
    whole = _whole()
    at = whole.index(key) + len(key)
    return whole[:at] + struct.pack("<I", count) + whole[at + 4 :]


BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one_byte": lambda: b"G",
    "magic_only": lambda: b"GGUF",
    "text": lambda: b"This is no model.\n" * 100,
    "html": lambda: b"<!DOCTYPE html><html><body>401 Unauthorized</body></html>\n",
    "zeros": lambda: bytes(4096),
    "old_magic": lambda: _header(magic=b"ggjt") + bytes(4096),
    "big_endian": lambda: b"GGUF" + struct.pack(">IQQ", GGUF_VERSION, 0, 0) + bytes(4096),
    "version_1": lambda: b"GGUF" + struct.pack("<III", 1, 0, 0) + bytes(4096),
    "version_0": lambda: _header(version=0) + bytes(4096),
    "version_99": lambda: _header(version=99) + bytes(4096),
    "no_keys": lambda: _header() + bytes(4096),
    "only_architecture": lambda: _header(n_keys=1) + ARCHITECTURE + bytes(4096),
    "unknown_architecture": lambda: _header(n_keys=1) + _key("general.architecture", STRING, _string("nothing")),
    "architecture_number": lambda: _header(n_keys=1) + _key("general.architecture", UINT32, struct.pack("<I", 7)),
    "many_tensors": lambda: _header(n_tensors=2**63 - 1, n_keys=1) + ARCHITECTURE,
    "negative_tensors": lambda: _header(n_tensors=2**64 - 1, n_keys=1) + ARCHITECTURE,
    "many_keys": lambda: _header(n_keys=2**62) + ARCHITECTURE,
    "long_string": lambda: _header(n_keys=1) + struct.pack("<Q", 2**62) + b"general.architecture",
    "long_value": lambda: (
        _header(n_keys=1) + _string("general.architecture") + struct.pack("<IQ", STRING, 2**40) + b"llama"
    ),
    "long_array": lambda: (
        _header(n_keys=2) + ARCHITECTURE + _key("x", ARRAY, struct.pack("<IQ", UINT32, 2**61)) + bytes(4096)
    ),
    "long_string_array": lambda: (
        _header(n_keys=2) + ARCHITECTURE + _key("x", ARRAY, struct.pack("<IQ", STRING, 2**34)) + bytes(4096)
    ),
    "nested_array": lambda: _header(n_keys=2) + ARCHITECTURE + _key("x", ARRAY, struct.pack("<IQ", ARRAY, 4)),
    "unknown_key_type": lambda: _header(n_keys=2) + ARCHITECTURE + _key("x", 77, bytes(8)),
    "zero_alignment": lambda: (
        _header(n_keys=2) + ARCHITECTURE + _key("general.alignment", UINT32, struct.pack("<I", 0)) + bytes(4096)
    ),
    "odd_alignment": lambda: (
        _header(n_keys=2) + ARCHITECTURE + _key("general.alignment", UINT32, struct.pack("<I", 24)) + bytes(4096)
    ),
    "duplicate_key": lambda: _header(n_keys=2) + ARCHITECTURE + ARCHITECTURE,
    "huge_tensor": lambda: (
        _header(n_tensors=1, n_keys=1) + ARCHITECTURE + _tensor("token_embd.weight", [2**62, 4]) + bytes(4096)
    ),
    "overflowing_tensor": lambda: (
        _header(n_tensors=1, n_keys=1) + ARCHITECTURE + _tensor("token_embd.weight", [2**31, 2**31, 4]) + bytes(4096)
    ),
    "negative_size": lambda: (
        _header(n_tensors=1, n_keys=1) + ARCHITECTURE + _tensor("token_embd.weight", [2**64 - 1]) + bytes(4096)
    ),
    "five_dimensions": lambda: (
        _header(n_tensors=1, n_keys=1) + ARCHITECTURE + _tensor("token_embd.weight", [2] * 5) + bytes(4096)
    ),
    "unknown_tensor_type": lambda: (
        _header(n_tensors=1, n_keys=1) + ARCHITECTURE + _tensor("token_embd.weight", [32], kind=999) + bytes(4096)
    ),
    "offset_past_end": lambda: (
        _header(n_tensors=1, n_keys=1) + ARCHITECTURE + _tensor("token_embd.weight", [32], offset=2**40) + bytes(4096)
    ),
    "truncated_data": _truncated_data,
    "truncated_header": _truncated_header,
    "missing_tensor": _renamed_tensor,
    "no_layers": lambda: _layers(0),
    "huge_layers": lambda: _layers(2**31),
}
"""What is wrong → the file's bytes. llama.cpp refuses them all, but the two `…_layers` by aborting the process."""


def write_broken(path: Path, fault: str) -> Path:
    """Write the file with that fault."""
    path.write_bytes(BROKEN[fault]())
    return path
