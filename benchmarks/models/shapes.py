"""The shapes of real models, from their published configurations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of a dense transformer with grouped-query attention, a gated feed-forward and tied embeddings."""

    architecture: str
    """llama.cpp's `general.architecture`."""
    pre_tokenizer: str
    """llama.cpp's `tokenizer.ggml.pre`."""
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_vocab: int
    n_text: int
    """Tokens that are text; the rest are markup and padding."""
    n_ctx: int
    rope_base: float
    attention_biases: bool
    """Whether queries, keys and values have biases."""

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head


SHAPES: dict[str, Shape] = {
    "qwen2.5-0.5b": Shape(
        architecture="qwen2",
        pre_tokenizer="qwen2",
        n_layer=24,
        n_embd=896,
        n_head=14,
        n_head_kv=2,
        n_ff=4864,
        n_vocab=151_936,
        n_text=151_643,
        n_ctx=32_768,
        rope_base=1e6,
        attention_biases=True,
    ),
    "llama-3.2-1b": Shape(
        architecture="llama",
        pre_tokenizer="llama-bpe",
        n_layer=16,
        n_embd=2048,
        n_head=32,
        n_head_kv=8,
        n_ff=8192,
        n_vocab=128_256,
        n_text=128_000,
        n_ctx=131_072,
        rope_base=5e5,
        attention_biases=False,
    ),
}
