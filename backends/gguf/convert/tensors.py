"""Which tensors a model has, what they are called in a checkpoint and in a GGUF, and what becomes of their rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, TensorNameMap, get_tensor_name_map

from .architecture import Architecture
from .errors import ConvertError, some
from .stored_tensor import DTYPES, Array, StoredTensor

Shape = tuple[int, ...]

TRANSFORMERS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "model.layers.{}.input_layernorm",
    "attn_q": "model.layers.{}.self_attn.q_proj",
    "attn_k": "model.layers.{}.self_attn.k_proj",
    "attn_v": "model.layers.{}.self_attn.v_proj",
    "attn_output": "model.layers.{}.self_attn.o_proj",
    "attn_q_norm": "model.layers.{}.self_attn.q_norm",
    "attn_k_norm": "model.layers.{}.self_attn.k_norm",
    "ffn_norm": "model.layers.{}.post_attention_layernorm",
    "ffn_gate": "model.layers.{}.mlp.gate_proj",
    "ffn_up": "model.layers.{}.mlp.up_proj",
    "ffn_down": "model.layers.{}.mlp.down_proj",
}
"""What a checkpoint of Transformers calls them."""
META = {
    "token_embd": "tok_embeddings",
    "output_norm": "norm",
    "output": "output",
    "attn_norm": "layers.{}.attention_norm",
    "attn_q": "layers.{}.attention.wq",
    "attn_k": "layers.{}.attention.wk",
    "attn_v": "layers.{}.attention.wv",
    "attn_output": "layers.{}.attention.wo",
    "ffn_norm": "layers.{}.ffn_norm",
    "ffn_gate": "layers.{}.feed_forward.w1",
    "ffn_up": "layers.{}.feed_forward.w3",
    "ffn_down": "layers.{}.feed_forward.w2",
}
"""What Meta calls them."""
NOT_WEIGHTS = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|rope\.freqs|masked_bias)")
"""Tables that follow from the configuration, which older checkpoints hold."""
QUANTIZED = re.compile(r".*\.(qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state.*|weight_scale(_inv)?|scales)")
"""Marks of GPTQ, AWQ, bitsandbytes, FP8 and others."""


def name_map(architecture: Architecture) -> TensorNameMap:
    """The library's map from checkpoints' names to GGUF's."""
    number = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == architecture.name)
    return get_tensor_name_map(MODEL_ARCH(number), architecture.n_layer)


def gguf_name(names: TensorNameMap, name: str) -> str:
    """What a checkpoint's tensor is called in a GGUF."""
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found is not None, name  # the library knows all of the above
    return found


def expected_shapes(model: Architecture, names: Mapping[str, str] = TRANSFORMERS) -> dict[str, Shape]:
    """Every tensor that a checkpoint of this model must have, by its name there."""
    shapes = {
        f"{names['token_embd']}.weight": (model.n_vocab, model.n_embd),
        f"{names['output_norm']}.weight": (model.n_embd,),
    }
    if not model.tied:
        shapes[f"{names['output']}.weight"] = (model.n_vocab, model.n_embd)
    for layer in range(model.n_layer):
        for role, suffix, shape in _layer_shapes(model):
            shapes[f"{names[role].format(layer)}.{suffix}"] = shape
    return shapes


def _layer_shapes(model: Architecture) -> Iterator[tuple[str, str, Shape]]:
    n_q, n_kv = model.n_head * model.head_dim, model.n_head_kv * model.head_dim
    matrices = (
        ("attn_q", n_q, model.n_embd, model.qkv_bias),
        ("attn_k", n_kv, model.n_embd, model.qkv_bias),
        ("attn_v", n_kv, model.n_embd, model.qkv_bias),
        ("attn_output", model.n_embd, n_q, model.output_bias),
        ("ffn_gate", model.n_ff, model.n_embd, model.mlp_bias),
        ("ffn_up", model.n_ff, model.n_embd, model.mlp_bias),
        ("ffn_down", model.n_embd, model.n_ff, model.mlp_bias),
    )
    for role, rows, columns, biased in matrices:
        yield role, "weight", (rows, columns)
        if biased:
            yield role, "bias", (rows,)
    yield "attn_norm", "weight", (model.n_embd,)
    yield "ffn_norm", "weight", (model.n_embd,)
    if model.qk_norm:
        yield "attn_q_norm", "weight", (model.head_dim,)
        yield "attn_k_norm", "weight", (model.head_dim,)


def check_tensors(found: Mapping[str, StoredTensor], expected: Mapping[str, Shape], optional: frozenset[str]) -> None:
    """Hold a checkpoint's tensors against its configuration. `optional`: names that are not used. Raises
    ConvertError."""
    if marks := sorted(name for name in found if QUANTIZED.fullmatch(name)):
        raise ConvertError(f"the checkpoint is quantized (it has {some(marks[:1])}): convert the one it was made from")
    if missing := [name for name in expected if name not in found]:
        raise ConvertError(f"the checkpoint lacks {len(missing)} of its {len(expected)} tensors: {some(missing)}")
    unknown = [n for n in found if n not in expected and n not in optional and not NOT_WEIGHTS.fullmatch(n)]
    if unknown:
        raise ConvertError(f"the checkpoint has tensors that its architecture hasn't: {some(sorted(unknown))}")
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ConvertError(
                f"{name} has the shape {list(found[name].shape)}, where the configuration says {list(shape)}"
            )
        if found[name].dtype not in DTYPES:
            raise ConvertError(f"{name} is of type {found[name].dtype}: this command converts {', '.join(DTYPES)}")


def n_rotated(model: Architecture, name: str) -> int | None:
    """How many heads' rows of a tensor must change places (see `Architecture.halves`); None: they stay."""
    if model.halves and ".self_attn.q_proj." in name:
        return model.n_head
    if model.halves and ".self_attn.k_proj." in name:
        return model.n_head_kv
    return None


def pair_rows(rows: Array, n_heads: int) -> Array:
    """Each head's rows (or a bias' values) from halves to pairs: 0, n/2, 1, n/2 + 1 … of its n."""
    halves = rows.reshape(n_heads, 2, rows.shape[0] // n_heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)
