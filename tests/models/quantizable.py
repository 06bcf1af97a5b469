"""A small model whose rows fill the blocks of every type that llama.cpp makes; importance matrices; split models."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np

from tests.models.families import Shape, write_model

N_CHUNKS, N_CALLS = 7, 3


def write_quantizable(path: Path, *, n_layer: int = 1) -> Path:
    """Rows of 256 values, F32."""
    shape = Shape(n_layer=n_layer, n_embd=256, n_head=4, n_head_kv=2, n_ff=256)
    return write_model(path, "llama", shape=shape)


def matrices(path: Path) -> list[tuple[str, int]]:
    """Name and columns of each tensor that gets quantized."""
    return [(t.name, int(t.shape[0])) for t in gguf.GGUFReader(path).tensors if len(t.shape) > 1]


def importance(path: Path) -> dict[str, np.ndarray]:
    """Mean squares of each matrix' inputs, made up."""
    random = np.random.default_rng(3)
    return {name: random.uniform(0.1, 10, columns).astype(np.float32) for name, columns in matrices(path)}


def write_imatrix(path: Path, means: dict[str, np.ndarray]) -> Path:
    """As llama-imatrix writes them now."""
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["a text.txt"])
    writer.add_uint32("imatrix.chunk_count", N_CHUNKS)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, values in means.items():
        writer.add_tensor(f"{name}.in_sum2", values[None, :] * N_CALLS)
        writer.add_tensor(f"{name}.counts", np.full((1, 1), N_CALLS, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_old_imatrix(path: Path, means: dict[str, np.ndarray]) -> Path:
    """As it wrote them before."""
    parts = [struct.pack("<i", len(means))]
    for name, values in means.items():
        parts += [_text(name), struct.pack("<ii", N_CALLS, values.size), (values * N_CALLS).tobytes()]
    path.write_bytes(b"".join(parts) + struct.pack("<i", N_CHUNKS) + _text("a text.txt"))
    return path


def _text(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()


def write_split(path: Path, source: Path, most_tensors: int) -> list[Path]:
    """Write `source` again in parts of so many tensors, named after `path`; the parts."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=most_tensors)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(path.parent.glob(f"{path.stem}-*-of-*.gguf"))
