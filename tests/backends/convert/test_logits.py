"""A converted checkpoint computes what Transformers computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from backends.gguf.convert.conversion import Conversion

from . import checkpoints
from .checkpoints import logits, save_meta
from .conftest import Save, converted
from .gguf_logits import gguf_logits

TOKENS = [int(token) for token in np.random.default_rng(0).integers(0, 500, 80)]
F32 = 2e-4
"""How far apart float32 sums in another order may be, where logits have a standard deviation of 1.5."""

MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": checkpoints.llama,
    "llama 3": checkpoints.llama_3,
    "llama tied": lambda: checkpoints.llama(tie_word_embeddings=True),
    "llama biases": lambda: checkpoints.llama(attention_bias=True, mlp_bias=True),
    "llama head_dim": lambda: checkpoints.llama(head_dim=24),
    "llama linear": lambda: checkpoints.llama(rope_scaling={"rope_type": "linear", "factor": 2.0}),
    "llama yarn": checkpoints.yarn_llama,
    "llama yarn attention": lambda: checkpoints.yarn_llama(attention_factor=1.3),
    "mistral": checkpoints.mistral,
    "qwen2": checkpoints.qwen2,
    "qwen3": checkpoints.qwen3,
    "qwen3 yarn": lambda: checkpoints.qwen3(
        rope_scaling={"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers(name: str, saved: Save) -> None:
    model = MODELS[name]()
    path = converted(saved(model))
    expected = logits(model, TOKENS)
    assert expected.std() > 0.5  # else anything would be near
    np.testing.assert_allclose(gguf_logits(path, TOKENS), expected, atol=F32)


def test_safetensors_in_parts(saved: Save) -> None:
    model = checkpoints.llama()
    folder = saved(model, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    np.testing.assert_allclose(gguf_logits(converted(folder), TOKENS), logits(model, TOKENS), atol=F32)


@pytest.mark.parametrize("layout", ["one file", "parts", "before archives"])
def test_pickles(layout: str, saved: Save) -> None:
    model = checkpoints.qwen2()
    folder = saved(model)
    (folder / "model.safetensors").unlink()
    weights = model.state_dict()
    if layout == "parts":
        names = sorted(weights)
        parts = {f"pytorch_model-0000{i}-of-00003.bin": names[i - 1 :: 3] for i in (1, 2, 3)}
        for file, held in parts.items():
            torch.save({name: weights[name] for name in held}, folder / file)
        places = {name: file for file, held in parts.items() for name in held}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    else:
        old = layout == "before archives"
        torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not old)
    np.testing.assert_allclose(gguf_logits(converted(folder), TOKENS), logits(model, TOKENS), atol=F32)


@pytest.mark.parametrize(("n_shards", "embeddings_axis"), [(1, 1), (2, 1), (2, 0)])
def test_metas_own(n_shards: int, embeddings_axis: int, tmp_path: Path, piece_model: bytes) -> None:
    model = checkpoints.llama(vocab_size=600, intermediate_size=192)
    folder = tmp_path / "meta"
    save_meta(model, folder, n_shards, embeddings_axis=embeddings_axis)
    (tmp_path / "tokenizer.model").write_bytes(piece_model)  # Meta's downloads have it beside the folder
    conversion = Conversion(folder)
    assert any("4,096 tokens" in note for note in conversion.notes)
    np.testing.assert_allclose(gguf_logits(converted(folder), TOKENS), logits(model, TOKENS), atol=F32)


def test_metas_scaled_rope(tmp_path: Path, piece_model: bytes) -> None:
    """As Transformers' llama3 scaling of the same model, Llama 3.2's: its frequencies are stretched 32 times."""
    scaling = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    model = checkpoints.llama(vocab_size=600, intermediate_size=192, rope_theta=500000.0, rope_scaling=scaling)
    folder = tmp_path / "meta"
    save_meta(model, folder, 1, use_scaled_rope=True)
    (folder / "tokenizer.model").write_bytes(piece_model)
    path = converted(folder)
    np.testing.assert_allclose(gguf_logits(path, TOKENS), logits(model, TOKENS), atol=F32)
    assert _fields(path)["llama.context_length"] == 131072
    assert _tensors(path)["rope_freqs.weight"].max() == 32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept_exactly(dtype: torch.dtype, saved: Save) -> None:
    model = checkpoints.mistral().to(dtype)
    folder = saved(model)
    assert Conversion(folder).outtype == {torch.bfloat16: "bf16", torch.float16: "f16"}[dtype]
    expected = logits(type(model).from_pretrained(folder, dtype=torch.float32), TOKENS)
    np.testing.assert_allclose(gguf_logits(converted(folder, "f32"), TOKENS), expected, atol=F32)
    kept = _tensors(converted(folder, "auto"))
    for name, tensor in _tensors(converted(folder, "f32")).items():
        np.testing.assert_array_equal(kept[name], tensor)


@pytest.mark.parametrize(("outtype", "far"), [("f16", 0.005), ("bf16", 0.04), ("q8_0", 0.1)])
def test_smaller_types_are_off_by_their_rounding(outtype: str, far: float, saved: Save) -> None:
    model = checkpoints.llama()
    folder = saved(model)
    exact, rounded = _tensors(converted(folder, "f32")), _tensors(converted(folder, outtype))
    for name, tensor in exact.items():
        if tensor.ndim < 2:
            np.testing.assert_array_equal(rounded[name], tensor)
        elif outtype == "q8_0":
            blocks = tensor.reshape(-1, 32)
            steps = np.abs(blocks).max(axis=1, keepdims=True) / 127
            far_off = 0.51 * steps + 127 * steps * 2.0**-10  # a block's step is a float16
            assert (np.abs(rounded[name].reshape(-1, 32) - blocks) <= far_off).all()
        else:
            bits = {"f16": 11, "bf16": 8}[outtype]
            assert (np.abs(rounded[name] - tensor) <= np.abs(tensor) * 2.0**-bits + 1e-7).all()
    off = gguf_logits(converted(folder, outtype), TOKENS) - logits(model, TOKENS)
    assert off.std() < far


def test_yarns_betas_are_told_of(saved: Save) -> None:
    """llama.cpp reads them for other architectures only."""
    conversion = Conversion(saved(checkpoints.yarn_llama(beta_fast=16.0)))
    assert conversion.notes == [
        "llama.cpp doesn't read YaRN's betas from this architecture's files: it must be told when the model is loaded "
        "(beta_fast 16, beta_slow 1)"
    ]


def test_a_sliding_window_is_told_of(saved: Save) -> None:
    model = checkpoints.mistral(sliding_window=100)
    folder = saved(model)
    assert any("reaches 100 tokens back" in note for note in Conversion(folder).notes)
    np.testing.assert_allclose(gguf_logits(converted(folder), TOKENS), logits(model, TOKENS), atol=F32)


def test_rows_that_dont_fill_blocks_become_f16(saved: Save) -> None:
    folder = saved(checkpoints.llama(intermediate_size=80))
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(converted(folder, "q8_0")).tensors}
    assert types["blk.0.ffn_down.weight"] == "F16" and types["blk.0.ffn_up.weight"] == "Q8_0"


def test_what_the_file_says_of_the_model(saved: Save) -> None:
    folder = saved(checkpoints.qwen3(bos_token_id=500, eos_token_id=[502, 503]))
    (folder / "generation_config.json").write_text(
        json.dumps({"temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": None, "repetition_penalty": 1.1})
    )
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en]\n---\n# A model\n")
    conversion = Conversion(folder, model_name="Tiny Qwen")
    conversion.write(folder / "out.gguf", lambda *_: None)
    found = _fields(folder / "out.gguf")
    assert found["general.name"] == "Tiny Qwen" and found["general.license"] == "apache-2.0"
    assert found["general.sampling.top_k"] == 20 and found["general.sampling.temp"] == pytest.approx(0.6)
    assert found["general.sampling.penalty_repeat"] == pytest.approx(1.1)
    assert "general.sampling.min_p" not in found
    assert found["qwen3.attention.key_length"] == 24 and found["qwen3.context_length"] == 256
    assert conversion.n_parameters == checkpoints.qwen3().num_parameters()


@pytest.mark.parametrize("card", ["license: [a, b]\nname: 5\ntags: {a: 1}", "license: [", "- 1", "{}", ""])
def test_odd_model_cards(card: str, saved: Save) -> None:
    folder = saved(checkpoints.llama(num_hidden_layers=1))
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    (folder / "generation_config.json").write_text(json.dumps({"temperature": "hot", "top_k": [1], "top_p": 0.5}))
    found = _fields(converted(folder))
    assert found["general.name"]
    assert "general.license" not in found and "general.sampling.temp" not in found


def _fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def _tensors(path: Path) -> dict[str, np.ndarray]:
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
