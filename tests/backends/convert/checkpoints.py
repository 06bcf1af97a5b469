"""Small random checkpoints, saved as Transformers and Meta save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

torch.set_num_threads(1)  # small matrices: a second thread only waits

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def yarn_llama(**options: Any) -> PreTrainedModel:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64} | options
    return llama(rope_scaling=scaling)


def llama(**options: Any) -> PreTrainedModel:
    return _random(LlamaForCausalLM, LlamaConfig, options)


def llama_3(**options: Any) -> PreTrainedModel:
    """Llama 3.1's RoPE, on a scale that short texts feel."""
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    return llama(rope_theta=500.0, rope_scaling=scaling, **options)


def mistral(**options: Any) -> PreTrainedModel:
    return _random(MistralForCausalLM, MistralConfig, {"sliding_window": None, "head_dim": 32} | options)


def qwen2(**options: Any) -> PreTrainedModel:
    return _random(Qwen2ForCausalLM, Qwen2Config, options)


def qwen3(**options: Any) -> PreTrainedModel:
    return _random(Qwen3ForCausalLM, Qwen3Config, {"head_dim": 24, "tie_word_embeddings": True} | options)


def _random(model: Callable[..., PreTrainedModel], config: Callable[..., PretrainedConfig], options: Any) -> Any:
    made = model(config(**SIZES | {"vocab_size": 512, "rms_norm_eps": 1e-5} | options)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            # Every tensor counts: norms away from one, biases away from zero, logits some apart.
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 0.3 if parameter.ndim == 1 else 1.5 / np.sqrt(parameter.shape[-1])
            parameter.copy_(noise * scale + (1.0 if name.endswith("norm.weight") else 0.0))
    return made


def logits(model: PreTrainedModel, tokens: list[int]) -> np.ndarray:
    """Transformers' logits at every position."""
    with torch.no_grad():
        found: np.ndarray = model(torch.tensor([tokens])).logits[0].float().numpy()
    return found


def save_meta(model: PreTrainedModel, folder: Path, n_shards: int, *, embeddings_axis: int = 1, **params: Any) -> None:
    """Save a Llama as Meta does: rows of queries and keys in pairs, tensors cut over shards. `embeddings_axis`: along
    which embeddings are cut: 1 in Llama 2, 0 in Llama 3. `params`: more for params.json."""
    config = model.config
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, torch.Tensor]] = [{} for _ in range(n_shards)]
    for name, tensor in model.state_dict().items():
        short, axis = _meta_name(name)
        axis = embeddings_axis if short.startswith("tok_embeddings") else axis
        if ".wq" in short or ".wk" in short:
            heads = config.num_attention_heads if ".wq" in short else config.num_key_value_heads
            tensor = tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
        parts = [tensor] * n_shards if axis is None else tensor.chunk(n_shards, dim=axis)
        for shard, part in zip(shards, parts, strict=True):
            shard[short] = part.clone()
    for number, shard in enumerate(shards):
        shard["rope.freqs"] = torch.ones(4)
        torch.save(shard, folder / f"consolidated.{number:02}.pth")
    own = {
        "dim": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "n_kv_heads": config.num_key_value_heads,
        "vocab_size": -1,
        "multiple_of": 32,
        "norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_parameters["rope_theta"],
    }
    (folder / "params.json").write_text(json.dumps(own | params))


def _meta_name(name: str) -> tuple[str, int | None]:
    """Meta's name of a tensor, and the axis along which it is cut."""
    for theirs, ours, axis in (
        ("model.embed_tokens", "tok_embeddings", 1),
        ("lm_head", "output", 0),
        ("self_attn.q_proj", "attention.wq", 0),
        ("self_attn.k_proj", "attention.wk", 0),
        ("self_attn.v_proj", "attention.wv", 0),
        ("self_attn.o_proj", "attention.wo", 1),
        ("mlp.gate_proj", "feed_forward.w1", 0),
        ("mlp.down_proj", "feed_forward.w2", 1),
        ("mlp.up_proj", "feed_forward.w3", 0),
    ):
        if theirs in name:
            return name.replace(theirs, ours).removeprefix("model."), axis
    plain = name.replace("input_layernorm", "attention_norm").replace("post_attention_layernorm", "ffn_norm")
    return plain.removeprefix("model."), None
