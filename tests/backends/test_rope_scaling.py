"""RoPE scaling beside Transformers': the same weights, the same tokens, logits far beyond the original context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from backends.context_size import MIN_OUTPUTS
from backends.engine_options import EngineOptions, RopeOptions
from backends.llama_cpp.context import Context, Span
from backends.llama_cpp.model import Model
from tests.models.families import RMS_EPS, Shape, write_model

SHAPE = Shape(n_layer=2, n_embd=128, n_ctx=128)
BASE = 10_000.0
LENGTH = 8 * SHAPE.n_ctx
TOLERANCE = 1e-3
"""Of logits whose standard deviation is 1.7. Unscaled positions are 2 and more away."""

Logits = npt.NDArray[np.float32]
CLASSES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(scope="module", params=CLASSES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rotations there are: Llama's GGUFs turn neighbouring dimensions, Qwen's the two halves of a head."""
    return write_model(tmp_path_factory.mktemp("rope") / f"{request.param}.gguf", request.param, shape=SHAPE)


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[Model]:
    loaded = Model(EngineOptions(model_path=str(path)), lambda _fraction: None)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def tokens(model: Model) -> list[int]:
    return np.random.default_rng(5).integers(0, model.n_vocab, LENGTH).tolist()


def transformers_model(path: Path, *, attention_scaling: float | None = None, **rope: Any) -> PreTrainedModel:
    """The GGUF's weights in Transformers' class. `attention_scaling`: in place of what follows from `rope`."""
    config_class, model_class = CLASSES[path.stem]
    reader = gguf.GGUFReader(path)
    weights = {tensor.name: tensor.data for tensor in reader.tensors}
    config = config_class(
        vocab_size=len(weights["token_embd.weight"]),
        hidden_size=SHAPE.n_embd,
        intermediate_size=SHAPE.n_ff,
        num_hidden_layers=SHAPE.n_layer,
        num_attention_heads=SHAPE.n_head,
        num_key_value_heads=SHAPE.n_head_kv,
        max_position_embeddings=LENGTH,
        rms_norm_eps=RMS_EPS,
        tie_word_embeddings=False,
        rope_parameters={"rope_theta": BASE, "rope_type": "default", **rope},
    )
    model = model_class(config).eval()
    state = {_transformers_name(name): torch.tensor(_halves(path, name, data)) for name, data in weights.items()}
    model.load_state_dict(state)
    if attention_scaling is not None:
        model.model.rotary_emb.attention_scaling = attention_scaling
    return model


def _transformers_name(name: str) -> str:
    *layer, part, kind = name.split(".")
    return ".".join([*(("model.layers", layer[1]) if layer else ()), NAMES[part], kind])


def _halves(path: Path, name: str, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Llama's queries and keys, from neighbouring dimensions being one pair to those half a head apart."""
    if path.stem != "llama" or name.split(".")[-2] not in ("attn_q", "attn_k"):
        return data
    pairs = data.reshape(-1, SHAPE.head_dim // 2, 2, data.shape[-1])
    return pairs.swapaxes(1, 2).reshape(data.shape)


def theirs(path: Path, tokens: list[int], **rope: Any) -> Logits:
    with torch.inference_mode():
        logits: Logits = transformers_model(path, **rope)(torch.tensor([tokens])).logits[0].numpy()
    return logits


def ours(model: Model, tokens: list[int], **rope: Any) -> Logits:
    options = EngineOptions(
        model_path=model.path,
        n_parallel=1,
        flash_attn="off",
        cache_type_k="f32",
        cache_type_v="f32",
        rope=RopeOptions(**rope),
    )
    context = Context(model, options, LENGTH, 1)
    rows = []
    for start in range(0, LENGTH, MIN_OUTPUTS):
        chunk = np.array(tokens[start : start + MIN_OUTPUTS], np.int32)
        assert context.decode([Span(0, chunk, start, len(chunk))]) == 0
        rows.append(context.logits().copy())
    context.close()
    return np.concatenate(rows)


LINEAR = {"rope_type": "linear", "factor": 8.0}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": SHAPE.n_ctx}


@pytest.mark.parametrize(
    ("flags", "rope"),
    [
        ({}, {}),
        ({"freq_scale": 1 / 8}, LINEAR),
        ({"scaling": "linear", "freq_scale": 1 / 8}, LINEAR),
        ({"scaling": "none", "freq_scale": 1 / 8}, {}),
        ({"scaling": "yarn", "freq_scale": 1 / 8}, YARN),
        (
            {"scaling": "yarn", "freq_scale": 1 / 8, "yarn_orig_ctx": 64, "yarn_beta_fast": 8, "yarn_beta_slow": 2},
            YARN | {"original_max_position_embeddings": 64, "beta_fast": 8.0, "beta_slow": 2.0},
        ),
        ({"freq_base": 500_000.0}, {"rope_theta": 500_000.0}),
        # Without its extrapolation YaRN is linear scaling, with a factor of one's own for queries and keys.
        (
            {"scaling": "yarn", "freq_scale": 1 / 8, "yarn_ext_factor": 0.0, "yarn_attn_factor": 1.3},
            LINEAR | {"attention_scaling": 1.3},
        ),
    ],
    ids=["default", "scale", "linear", "none", "yarn", "yarn-betas", "base", "yarn-factors"],
)
def test_logits(path: Path, model: Model, tokens: list[int], flags: dict[str, Any], rope: dict[str, Any]) -> None:
    logits = ours(model, tokens, **flags)
    difference = np.abs(logits - theirs(path, tokens, **rope))
    assert difference[SHAPE.n_ctx :].max() < TOLERANCE
    assert difference.max() < TOLERANCE


def test_each_kind_of_scaling_gives_logits_of_its_own(model: Model, tokens: list[int]) -> None:
    """Else the comparison would show nothing."""
    kinds: list[dict[str, Any]] = [
        {},
        {"freq_scale": 1 / 8},
        {"scaling": "yarn", "freq_scale": 1 / 8},
        {"scaling": "yarn", "freq_scale": 1 / 8, "yarn_beta_fast": 8},
        {"freq_base": 500_000.0},
    ]
    logits = [ours(model, tokens, **kind) for kind in kinds]
    for i, one in enumerate(logits):
        for other in logits[:i]:
            assert np.abs(one - other).max() > 100 * TOLERANCE
