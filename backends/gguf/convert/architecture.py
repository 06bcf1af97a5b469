"""What a model is like, as llama.cpp asks it: from Transformers' `config.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from gguf import GGUFWriter

from .errors import ConvertError, read_json
from .rope import Rope, read_rope

SCRIPT = "llama.cpp's convert_hf_to_gguf.py knows more architectures"
FAMILIES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
"""Transformers' classes, and llama.cpp's architectures."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes and options of a model."""

    name: str
    """llama.cpp's."""
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_vocab: int
    """Rows of the embeddings."""
    n_ctx: int
    rms_eps: float
    rope: Rope
    tied: bool = False
    """Whether the embeddings are the output's weights too."""
    qkv_bias: bool = False
    output_bias: bool = False
    """Of attention's output."""
    mlp_bias: bool = False
    qk_norm: bool = False
    halves: bool = False
    """Whether the rows of queries and keys are ordered by halves (Transformers), where llama.cpp rotates pairs."""
    notes: tuple[str, ...] = ()
    """What the GGUF will do otherwise than the checkpoint, a line each."""

    def write(self, writer: GGUFWriter) -> None:
        """Add the keys that describe the model."""
        writer.add_block_count(self.n_layer)
        writer.add_context_length(self.n_ctx)
        writer.add_embedding_length(self.n_embd)
        writer.add_feed_forward_length(self.n_ff)
        writer.add_head_count(self.n_head)
        writer.add_head_count_kv(self.n_head_kv)
        writer.add_key_length(self.head_dim)
        writer.add_value_length(self.head_dim)
        writer.add_rope_dimension_count(self.head_dim)
        writer.add_layer_norm_rms_eps(self.rms_eps)
        writer.add_vocab_size(self.n_vocab)
        self.rope.write(writer)


Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
Layers = Annotated[int, msgspec.Meta(ge=1, le=512)]
"""llama.cpp takes no more."""


class _Config(msgspec.Struct):
    """What is read of `config.json`; defaults are those that the family's classes share."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    rms_norm_eps: float = 1e-6
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    hidden_act: str = "silu"
    rope_theta: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    partial_rotary_factor: float | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool | None = None
    mlp_bias: bool | None = None
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    """Qwen's; Mistral's window is used where there is one."""


def read_architecture(folder: Path) -> Architecture:
    """The model of a Transformers checkpoint. Raises ConvertError, also where it isn't one of FAMILIES."""
    raw = read_json(folder / "config.json")
    family = _family(raw)
    try:
        config = msgspec.convert(raw, _Config)
    except msgspec.ValidationError as error:
        raise ConvertError(f"{folder / 'config.json'}: {error}") from None
    _refuse_variants(config, family)
    n_head_kv = config.num_key_value_heads or config.num_attention_heads
    if config.num_attention_heads % n_head_kv:
        raise ConvertError(f"config.json: {config.num_attention_heads} heads can't share {n_head_kv} key-value heads")
    if not config.head_dim and config.hidden_size % config.num_attention_heads:
        raise ConvertError(
            f"config.json: hidden_size {config.hidden_size} is no multiple of {config.num_attention_heads} heads"
        )
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    if head_dim % 2:
        raise ConvertError(f"config.json: rotary embeddings need an even head_dim, not {head_dim}")
    biased = bool(config.attention_bias) and family == "LlamaForCausalLM"
    parameters = config.rope_parameters or config.rope_scaling
    return Architecture(
        name=FAMILIES[family],
        n_layer=config.num_hidden_layers,
        n_embd=config.hidden_size,
        n_ff=config.intermediate_size,
        n_head=config.num_attention_heads,
        n_head_kv=n_head_kv,
        head_dim=head_dim,
        n_vocab=config.vocab_size,
        n_ctx=config.max_position_embeddings,
        rms_eps=config.rms_norm_eps,
        rope=read_rope(parameters, config.rope_theta, config.max_position_embeddings),
        tied=config.tie_word_embeddings,
        qkv_bias=biased or family == "Qwen2ForCausalLM",
        output_bias=biased,
        mlp_bias=bool(config.mlp_bias) and family == "LlamaForCausalLM",
        qk_norm=family == "Qwen3ForCausalLM",
        halves=FAMILIES[family] == "llama",
        notes=_window_notes(config, family),
    )


def refuse_quantized(folder: Path) -> None:
    """Raises ConvertError, if the weights are not as they were trained."""
    if isinstance(settings := read_json(folder / "config.json").get("quantization_config"), dict):
        method = str(settings.get("quant_method") or "some method").replace("_", " ")
        raise ConvertError(
            f"the checkpoint is quantized ({method}): convert the one that it was made from, then quantize the GGUF"
        )


def _family(raw: dict[str, Any]) -> str:
    names = raw.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if name in FAMILIES:
        return str(name)
    known = ", ".join(FAMILIES)
    if name is None:
        raise ConvertError(f"config.json names no architecture; this command converts {known}")
    raise ConvertError(f"{name} is an architecture that this command can't convert (it can {known}); {SCRIPT}")


def _refuse_variants(config: _Config, family: str) -> None:
    if config.hidden_act not in ("silu", "swish"):
        raise ConvertError(f"config.json asks for the activation {config.hidden_act!r}; llama.cpp has SiLU here")
    if config.partial_rotary_factor not in (None, 1.0):
        raise ConvertError("config.json asks for a partial_rotary_factor, which llama.cpp lacks for this architecture")
    if family == "Qwen3ForCausalLM" and config.attention_bias:
        raise ConvertError("config.json asks for attention biases, which llama.cpp lacks for Qwen3")


def _window_notes(config: _Config, family: str) -> tuple[str, ...]:
    window = config.sliding_window
    used = bool(config.use_sliding_window) if family.startswith("Qwen") else family == "MistralForCausalLM"
    if not used or window is None or window >= config.max_position_embeddings:
        return ()
    return (
        f"attention reaches {window:,} tokens back in the checkpoint, and over the whole context in llama.cpp, "
        f"which has no sliding window for this architecture: texts within {window:,} tokens are not affected",
    )
