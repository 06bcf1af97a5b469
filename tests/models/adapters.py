"""LoRA adapters for the small models, and those models with an adapter's weights merged in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

INTO_RESIDUAL = ("attn_output", "ffn_down", "ssm_out")
"""What is added to the hidden state: its dimension 0 carries a constant (see `families`), and is left alone."""
ADAPTED = ("attn_q", "attn_v", *INTO_RESIDUAL, "ffn_up", "ssm_in")
"""The weights of each layer that an adapter changes, where the model has them."""


def write_adapter(
    path: Path,
    model: Path,
    *,
    seed: int = 1,
    rank: int = 4,
    alpha: float = 8.0,
    strength: float = 0.7,
    adapted: Sequence[str] = ADAPTED,
    dtype: type[np.floating] = np.float32,
) -> Path:
    """An adapter for a model that `families.write_model` wrote. What it adds to a weight is about `strength` times as
    large as the weight."""
    random = np.random.default_rng(seed)
    reader = gguf.GGUFReader(model)
    writer = begin_adapter(path, architecture(reader), alpha)
    for tensor in reader.tensors:
        part, kind = tensor.name.split(".")[-2:]
        if part not in adapted or kind != "weight":
            continue
        n_out, n_in = tensor.data.shape
        a = random.standard_normal((rank, n_in)) / np.sqrt(n_in)
        b = random.standard_normal((n_out, rank)) / np.sqrt(rank)
        b *= strength * np.std(tensor.data) / np.std(b @ a * (alpha / rank))
        if part in INTO_RESIDUAL:
            b[0] = 0
        writer.add_tensor(f"{tensor.name}.lora_a", a.astype(dtype))
        writer.add_tensor(f"{tensor.name}.lora_b", b.astype(dtype))
    finish(writer)
    return path


def begin_adapter(path: Path, arch: str, alpha: float) -> gguf.GGUFWriter:
    """A writer that has an adapter's keys, for tensors to be added, and `finish`."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def architecture(reader: gguf.GGUFReader) -> str:
    return str(reader.fields["general.architecture"].contents())


def merge(path: Path, model: Path, adapters: Sequence[tuple[Path, float]]) -> Path:
    """The model with adapters, each scaled, added to its weights: a copy of the file with other bytes for tensors."""
    path.write_bytes(model.read_bytes())
    merged = gguf.GGUFReader(path, "r+")
    for file, scale in adapters:
        adapter = gguf.GGUFReader(file)
        alpha = float(adapter.fields["adapter.lora.alpha"].contents())
        parts = {tensor.name: np.asarray(tensor.data, np.float32) for tensor in adapter.tensors}
        for tensor in merged.tensors:
            a, b = parts.get(f"{tensor.name}.lora_a"), parts.get(f"{tensor.name}.lora_b")
            if a is not None and b is not None:
                tensor.data[:] += scale * alpha / len(a) * (b @ a)
    return path
