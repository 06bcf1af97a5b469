"""A conversion holds one tensor at a time."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from backends.gguf.convert.architecture import read_architecture
from backends.gguf.convert.conversion import Conversion
from backends.gguf.convert.encoding import CHUNK
from backends.gguf.convert.tensors import expected_shapes

SIZES = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 10,
    "num_attention_heads": 8,
    "intermediate_size": 512,
    "vocab_size": 512,
    "max_position_embeddings": 128,
    "eos_token_id": 502,
}


@pytest.mark.parametrize(
    ("layout", "outtype"),
    [("model.safetensors", "f32"), ("model.safetensors", "q8_0"), ("pytorch_model.bin", "f16")],
)
def test_peak_is_near_the_largest_tensor(layout: str, outtype: str, tmp_path: Path, bpe_files: Path) -> None:
    shutil.copytree(bpe_files, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    shapes = expected_shapes(read_architecture(tmp_path))
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    largest, total = max(t.nbytes for t in tensors.values()), sum(t.nbytes for t in tensors.values())
    if layout == "model.safetensors":
        save_file(tensors, tmp_path / layout)
    else:
        torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, tmp_path / layout)
    del tensors
    conversion = Conversion(tmp_path, outtype)
    tracemalloc.start()
    try:
        conversion.write(tmp_path / "out.gguf", lambda *_: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < largest + 8 * 4 * CHUNK < total / 2  # what is read, and the part that is being converted
