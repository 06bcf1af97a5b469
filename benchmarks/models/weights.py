"""Random weights whose greedy text is as stable as a trained model's.

With purely random weights the two best logits of 150,000 lie so close that the last bits of a kernel's sum decide, and
a text is another one in every batch shape: nothing could be predicted, and nothing cached would be met again. So the
model has one habit. Invented words stand in cycles, each one's embedding being the one before's rotated by a dimension,
and the first layer's feed-forward does that rotation (its attention adds nothing). So the next word of the cycle is the
likely one, by a margin like a trained model's; what may come beside it is random.

Dimension 0 is apart: it holds 1 for every token that may be said, which keeps the gates of that rotation open. Tokens
that a run mustn't say (markup, padding, parts of characters) have a row of zeros, hence logit 0, far below the best.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .shapes import Shape
from .vocabulary import Vocabulary

Array = npt.NDArray[np.float32]
Tensor = tuple[str, Array]
"""A name, and values [rows, columns] or [columns]."""

NOISE = 4.0
"""Standard deviation of what all random layers add to a dimension; that of the next word's embedding is 1."""
LOGIT_SCALE = 1.7
"""Standard deviation of the logits."""
PIECE_SCALE = 0.5
"""Rows of tokens that are rather not said, as parts of the others'."""
GATE = 8.0
"""Where silu(x) is x."""


def tensors(shape: Shape, vocabulary: Vocabulary, seed: int = 1) -> Iterator[Tensor]:
    """All tensors of a model, a layer at a time."""
    random = np.random.default_rng(seed)
    yield "token_embd.weight", _embeddings(random, shape, vocabulary)
    for layer in range(shape.n_layer):
        yield from _attention(random, shape, f"blk.{layer}", NOISE if layer else 0.0)
        yield from _feed_forward(random, shape, f"blk.{layer}", habit=layer == 0)
    # Logits are the dot product of two vectors of n_embd values of unit variance, scaled by this.
    yield "output_norm.weight", np.full(shape.n_embd, LOGIT_SCALE / np.sqrt(shape.n_embd), np.float32)


def _embeddings(random: np.random.Generator, shape: Shape, vocabulary: Vocabulary) -> Array:
    """[n_vocab, n_embd], which is also the output matrix."""
    period = shape.n_embd - 1
    spoken = random.permutation(vocabulary.spoken)
    n_cycles = len(spoken) // period
    rest = np.concatenate((spoken[n_cycles * period :], np.array(vocabulary.pieces, spoken.dtype)))
    rows = np.zeros((shape.n_vocab, shape.n_embd), np.float32)
    rows[rest, 1:] = PIECE_SCALE * _normal(random, len(rest), period)
    for cycle in spoken[: n_cycles * period].reshape(n_cycles, period):
        first = _normal(random, period)
        for turn, token in enumerate(cycle):
            rows[token, 1:] = np.roll(first, turn)
    rows[vocabulary.spoken, 0] = 1
    rows[vocabulary.pieces, 0] = 1
    return rows


def _attention(random: np.random.Generator, shape: Shape, prefix: str, noise: float) -> Iterator[Tensor]:
    n_q, n_kv = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    yield f"{prefix}.attn_norm.weight", _ones_but_first(shape)
    for name, size in (("q", n_q), ("k", n_kv), ("v", n_kv)):
        yield f"{prefix}.attn_{name}.weight", _matrix(random, size, shape.n_embd)
        if shape.attention_biases:
            yield f"{prefix}.attn_{name}.bias", 0.1 * _normal(random, size)
    yield f"{prefix}.attn_output.weight", _into_residual(random, shape, n_q, noise)


def _feed_forward(random: np.random.Generator, shape: Shape, prefix: str, *, habit: bool) -> Iterator[Tensor]:
    gate, up = (_matrix(random, shape.n_ff, shape.n_embd) for _ in range(2))
    down = _into_residual(random, shape, shape.n_ff, NOISE)
    if habit:
        period = shape.n_embd - 1
        unit = np.arange(period)
        gate[:period] = up[:period] = 0
        down[:, :period] = 0
        gate[:period, 0] = GATE
        up[unit, 1 + unit] = 1
        down[1 + unit, unit] = -1 / GATE  # takes the word itself away, else it would be said again
        down[1 + (unit + 1) % period, unit] = 1 / GATE
    # The gates of the habit read dimension 0; all else had better not.
    yield f"{prefix}.ffn_norm.weight", np.ones(shape.n_embd, np.float32) if habit else _ones_but_first(shape)
    yield f"{prefix}.ffn_gate.weight", gate
    yield f"{prefix}.ffn_up.weight", up
    yield f"{prefix}.ffn_down.weight", down


def _normal(random: np.random.Generator, *size: int) -> Array:
    return random.standard_normal(size, np.float32)


def _matrix(random: np.random.Generator, rows: int, columns: int) -> Array:
    """Maps `columns` values of unit variance to `rows` values of unit variance."""
    values = _normal(random, rows, columns)
    values *= columns**-0.5
    return values


def _into_residual(random: np.random.Generator, shape: Shape, columns: int, noise: float) -> Array:
    """A matrix whose result is added to the hidden state: nothing into dimension 0, `noise` over all layers."""
    matrix = _matrix(random, shape.n_embd, columns)
    # Products of a gate and a value, and means over attended positions, have about half their inputs' deviation.
    matrix *= noise * 2 / np.sqrt(2 * shape.n_layer)
    matrix[0] = 0
    return matrix


def _ones_but_first(shape: Shape) -> Array:
    weights = np.ones(shape.n_embd, np.float32)
    weights[0] = 0
    return weights
