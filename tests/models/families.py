"""Small random-weight GGUFs, one per kind of model that llama.cpp treats differently.

F32, about 1 MB, the same bytes for the same arguments. `output.weight` is untied and scaled so that the two best
logits are typically half apart: with tied random embeddings the gap is 43 and more, one token repeats for ever and
no test can fail. Hidden dimension 0 carries a constant through the network, untouched by every layer; the output
rows of tokens that a run should not choose (`Vocab.quiet`: end of generation, markup, partial characters) are
negative there and zero elsewhere, which puts their logits far below the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from tests.models.vocab import Vocab, bpe_vocab, spm_vocab

Tensors = Iterator[tuple[str, np.ndarray]]

RMS_EPS = 1e-6
CONSTANT = 1.0
"""What hidden dimension 0 holds."""
QUIET = -60.0
"""The output weight there of tokens that are not to be chosen."""
CONV_KERNEL, STATE_SIZE, TIME_STEP_RANK = 4, 16, 4


@dataclass(frozen=True)
class Shape:
    """Sizes of a test model. The defaults give about 1 MB."""

    n_layer: int = 4
    n_embd: int = 64
    n_head: int = 4
    n_head_kv: int = 2
    n_ff: int = 128
    n_ctx: int = 2048
    n_swa: int = 32
    """Window of the sliding-window model."""
    logit_scale: float = 1.7
    """Standard deviation of the logits; the gap between the two best is about 0.3 of it."""

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    def is_recurrent(self, layer: int) -> bool:
        """The hybrid model's layers: attention in every second one."""
        return layer % 2 == 0


class Weights:
    """Random tensors that leave hidden dimension 0 alone."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.random = np.random.default_rng(seed)
        self.shape = shape

    def matrix(self, rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        """Maps `columns` values of unit variance to `rows` values of standard deviation `scale`."""
        values: np.ndarray = self.random.standard_normal((rows, columns)) * (scale / np.sqrt(columns))
        return values.astype(np.float32)

    def into_residual(self, columns: int, scale: float = 1.0) -> np.ndarray:
        """A matrix whose result is added to the hidden state: nothing into dimension 0."""
        matrix = self.matrix(self.shape.n_embd, columns, scale)
        matrix[0] = 0
        return matrix

    def norm(self, size: int, *, hide_constant: bool = False) -> np.ndarray:
        """Norm weights near one; `hide_constant` keeps dimension 0 from what follows."""
        weights = (1 + 0.1 * self.random.standard_normal(size)).astype(np.float32)
        if hide_constant:
            weights[0] = 0
        return weights

    def vector(self, size: int, scale: float) -> np.ndarray:
        return (self.random.standard_normal(size) * scale).astype(np.float32)


def _ends(weights: Weights, vocab: Vocab, end_bias: float | None) -> Tensors:
    """Embeddings, output norm and output."""
    shape = weights.shape
    embeddings = weights.random.standard_normal((len(vocab), shape.n_embd)).astype(np.float32)
    embeddings[:, 0] = CONSTANT
    yield "token_embd.weight", embeddings
    yield "output_norm.weight", np.ones(shape.n_embd, np.float32)
    output = weights.matrix(len(vocab), shape.n_embd, shape.logit_scale)
    output[:, 0] = 0
    quiet = sorted(vocab.quiet - (set() if end_bias is None else {vocab.eos}))
    output[quiet] = 0
    output[quiet, 0] = QUIET
    if end_bias is not None:
        output[vocab.eos, 0] = end_bias
    yield "output.weight", output


def _attention(weights: Weights, layer: int, *, biases: bool = False) -> Tensors:
    shape, prefix = weights.shape, f"blk.{layer}.attn_"
    n_q, n_kv = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    for name, size in (("q", n_q), ("k", n_kv), ("v", n_kv)):
        # Queries and keys a little larger: attention that picks tokens out, rather than an average over all.
        yield f"{prefix}{name}.weight", weights.matrix(size, shape.n_embd, 1.0 if name == "v" else 1.5)
        if biases:
            yield f"{prefix}{name}.bias", weights.vector(size, 0.1 if name == "v" else 0.5)
    yield f"{prefix}output.weight", weights.into_residual(n_q, 2.0)


def _ffn(weights: Weights, layer: int) -> Tensors:
    shape, prefix = weights.shape, f"blk.{layer}.ffn_"
    yield f"{prefix}norm.weight", weights.norm(shape.n_embd, hide_constant=True)
    yield f"{prefix}gate.weight", weights.matrix(shape.n_ff, shape.n_embd)
    yield f"{prefix}up.weight", weights.matrix(shape.n_ff, shape.n_embd)
    yield f"{prefix}down.weight", weights.into_residual(shape.n_ff, 2.0)


def _ssm(weights: Weights, layer: int, *, norms: bool = False) -> Tensors:
    shape, prefix = weights.shape, f"blk.{layer}.ssm_"
    n_inner = 2 * shape.n_embd
    yield f"{prefix}in.weight", weights.matrix(2 * n_inner, shape.n_embd, 1.5)
    yield f"{prefix}conv1d.weight", weights.matrix(n_inner, CONV_KERNEL, 1.5)
    yield f"{prefix}conv1d.bias", weights.vector(n_inner, 0.1)
    yield f"{prefix}x.weight", weights.matrix(TIME_STEP_RANK + 2 * STATE_SIZE, n_inner, 1.5)
    if norms:
        for name, size in (("dt", TIME_STEP_RANK), ("b", STATE_SIZE), ("c", STATE_SIZE)):
            yield f"{prefix}{name}_norm.weight", weights.norm(size)
    yield f"{prefix}dt.weight", weights.matrix(n_inner, TIME_STEP_RANK)
    # Time steps of 0.01 to 0.3 after the softplus: a state that remembers tens of tokens.
    steps = np.exp(weights.random.uniform(np.log(0.01), np.log(0.3), n_inner))
    yield f"{prefix}dt.bias", np.log(np.expm1(steps)).astype(np.float32)
    decay = np.arange(1, STATE_SIZE + 1, dtype=np.float32) / 4
    yield f"{prefix}a", -np.tile(decay, (n_inner, 1))
    yield f"{prefix}d", np.ones(n_inner, np.float32)
    yield f"{prefix}out.weight", weights.into_residual(n_inner, 0.5)


def _attn_norm(weights: Weights, layer: int) -> tuple[str, np.ndarray]:
    return f"blk.{layer}.attn_norm.weight", weights.norm(weights.shape.n_embd, hide_constant=True)


def _llama(weights: Weights) -> Tensors:
    for layer in range(weights.shape.n_layer):
        yield _attn_norm(weights, layer)
        yield from _attention(weights, layer)
        yield from _ffn(weights, layer)


def _qwen2(weights: Weights) -> Tensors:
    for layer in range(weights.shape.n_layer):
        yield _attn_norm(weights, layer)
        yield from _attention(weights, layer, biases=True)
        yield from _ffn(weights, layer)


def _gemma3(weights: Weights) -> Tensors:
    for layer in range(weights.shape.n_layer):
        shape, prefix = weights.shape, f"blk.{layer}."
        yield _attn_norm(weights, layer)
        yield from _attention(weights, layer)
        yield from _ffn(weights, layer)
        for name in ("q", "k"):
            yield f"{prefix}attn_{name}_norm.weight", 1.5 * weights.norm(shape.head_dim)
        # Gemma multiplies its embeddings by sqrt(n_embd); what the layers add must keep up with that.
        for name in ("post_attention_norm", "post_ffw_norm"):
            yield f"{prefix}{name}.weight", np.sqrt(shape.n_embd) * weights.norm(shape.n_embd, hide_constant=True)


def _mamba(weights: Weights) -> Tensors:
    for layer in range(weights.shape.n_layer):
        yield _attn_norm(weights, layer)
        yield from _ssm(weights, layer)


def _jamba(weights: Weights) -> Tensors:
    for layer in range(weights.shape.n_layer):
        yield _attn_norm(weights, layer)
        if weights.shape.is_recurrent(layer):
            yield from _ssm(weights, layer, norms=True)
        else:
            yield from _attention(weights, layer)
        yield from _ffn(weights, layer)


@dataclass(frozen=True)
class Family:
    """How one kind of model is written."""

    architecture: str
    pre: str
    """`tokenizer.ggml.pre`."""
    layers: Callable[[Weights], Tensors]
    add_bos: bool = True
    attention: bool = True
    recurrent: bool = False
    window: bool = False


FAMILIES: dict[str, Family] = {
    "llama": Family("llama", "llama-bpe", _llama),
    "qwen2": Family("qwen2", "qwen2", _qwen2, add_bos=False),
    # Gemma 1 and 2 always tie their output to the embeddings; Gemma 3 loads one of its own where the file has it.
    "gemma": Family("gemma3", "default", _gemma3),
    "mamba": Family("mamba", "gpt-2", _mamba, add_bos=False, attention=False, recurrent=True),
    "jamba": Family("jamba", "gpt-2", _jamba, recurrent=True),
    "swa": Family("gemma3", "default", _gemma3, window=True),
}
"""`swa` is Gemma 3 with a sliding window in every second layer, as Gemma 2 has it; `gemma` has none."""


def write_model(
    path: Path,
    family: str,
    *,
    seed: int = 1,
    shape: Shape | None = None,
    spm: bool = False,
    end_bias: float | None = None,
) -> Path:
    """Write the GGUF of a family. `spm`: the SentencePiece vocabulary. `end_bias`: None: a run never ends by itself;
    else end of generation is a token like others, with about a third of that (a tenth on Mamba) added to its logit."""
    kind, shape = FAMILIES[family], shape or Shape()
    vocab = spm_vocab() if spm else bpe_vocab()
    weights = Weights(seed, shape)
    writer = gguf.GGUFWriter(path, kind.architecture)
    writer.add_name(f"test-{family}")
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_layer_norm_rms_eps(RMS_EPS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _attention_keys(writer, kind, shape)
    if kind.recurrent:
        writer.add_ssm_conv_kernel(CONV_KERNEL)
        writer.add_ssm_inner_size(2 * shape.n_embd)
        writer.add_ssm_state_size(STATE_SIZE)
        writer.add_ssm_time_step_rank(TIME_STEP_RANK)
    vocab.write(writer, pre="default" if spm else kind.pre, add_bos=kind.add_bos)
    for name, tensor in (*_ends(weights, vocab, end_bias), *kind.layers(weights)):
        writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _attention_keys(writer: gguf.GGUFWriter, kind: Family, shape: Shape) -> None:
    if not kind.attention:
        # llama.cpp asks for them all the same.
        writer.add_head_count(0)
        writer.add_feed_forward_length(0)
        return
    writer.add_head_count(shape.n_head)
    writer.add_feed_forward_length(shape.n_ff)
    if kind.recurrent:
        writer.add_head_count_kv([0 if shape.is_recurrent(i) else shape.n_head_kv for i in range(shape.n_layer)])
    else:
        writer.add_head_count_kv(shape.n_head_kv)
        writer.add_rope_freq_base(10000.0)
    if kind.architecture == "gemma3":
        writer.add_key_length(shape.head_dim)
        writer.add_value_length(shape.head_dim)
    if kind.window:
        writer.add_sliding_window(shape.n_swa)
        writer.add_sliding_window_pattern([layer % 2 == 0 for layer in range(shape.n_layer)])
