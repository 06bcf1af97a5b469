"""How much memory a model needs for a context of some length, from its header alone.

Weights and cells are exact to the rounding of buffers. What computing needs is an estimate, whose terms follow
llama.cpp's graphs and whose factors were fitted to the sizes that it reports for models of six shapes.
"""

from __future__ import annotations

import msgspec

from backends.context_size import output_rows, padded, sequence_ids

from .model_shape import Layer, ModelShape

BYTES_PER_VALUE = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
"""Bytes that a value takes in the KV cache, by `-ctk`/`-ctv` type: the types llama.cpp allows there."""


class ContextPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a context is to be like. Defaults are those of `paddock serve`."""

    n_ctx: int
    n_parallel: int = 16
    n_ubatch: int = 512
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: bool = True
    drafts: bool = True
    """Whether sequences may be drafted for (speculative decoding)."""


class MemoryNeed(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes. `weights` are the file's: mapped into memory (the default), the system may take them back and read them
    again, slowly; `kv` and `compute` are taken for good."""

    n_ctx: int
    """The context that this is for."""
    weights: int
    kv: int
    """The cells of the whole context, and recurrent states of all sequences."""
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute


def need_of(shape: ModelShape, plan: ContextPlan) -> MemoryNeed:
    return MemoryNeed(
        n_ctx=plan.n_ctx,
        weights=shape.weights,
        kv=sum(layer_kv_bytes(layer, plan) for layer in shape.layers),
        compute=compute_bytes(shape, plan),
    )


def cell_bytes(layer: Layer, plan: ContextPlan) -> float:
    """Bytes of one cell in a layer."""
    return layer.k_width * BYTES_PER_VALUE[plan.type_k] + layer.v_width * BYTES_PER_VALUE[plan.type_v]


def layer_kv_bytes(layer: Layer, plan: ContextPlan) -> int:
    """What one layer keeps: cells, and states."""
    n_states = sequence_ids(plan.n_parallel, whole_only=True)
    return int(cell_bytes(layer, plan) * padded(plan.n_ctx)) + 4 * layer.state * n_states


def compute_bytes(shape: ModelShape, plan: ContextPlan, n_copies: int = 1) -> int:
    """What is taken while a batch is computed, on the device with the last layer. `n_copies`: of a batch's inputs, so
    that devices can work on several batches."""
    n_tokens, n_cells = min(plan.n_ubatch, max(1, plan.n_ctx)), padded(plan.n_ctx)
    logits = 4 * shape.n_vocab * output_rows(plan.n_parallel, whole_only=shape.has_states, drafts=plan.drafts)
    if not any(layer.k_width for layer in shape.layers):  # nothing attends to cells
        n_cells = 0
    feed_forward = 4 * n_tokens * (3 * shape.n_ff + shape.n_experts_used * shape.n_embd)
    attention = 0 if plan.flash_attn else n_cells * (4 * n_tokens * shape.n_head + 2 * _widest(shape))
    residual = 4 * n_tokens * 5 * shape.n_embd
    mask = n_cells * n_tokens * (2 if plan.flash_attn else 4) * (2 if shape.n_swa else 1)
    # What one part of the graph has taken, the next one uses again; the logits are then copied to memory of their own.
    return max(feed_forward, attention, logits - residual // 2) + residual + n_copies * mask + logits


def _widest(shape: ModelShape) -> int:
    return max((layer.k_width for layer in shape.layers), default=0)
