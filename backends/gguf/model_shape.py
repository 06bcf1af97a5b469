"""What of a model's layers takes memory: weights, and what they keep for each cell or sequence. From headers alone.

What a layer keeps is told by the tensors that it has, as their sizes are what llama.cpp multiplies by; where keys and
values come from one tensor, by the key-values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .header import Array, Header, Tensor
from .model_file import ModelFile

BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
EXPERTS_OF_A_LAYER = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""llama.cpp's pattern of the tensors that hold a layer's experts, as --cpu-moe means them: in their names, behind the
layer's."""
RECURRENT = ("ssm_", "time_mix_", "shortconv.")
"""How the names of recurrent layers' tensors begin."""
NOT_CACHED = frozenset(
    "bert dream eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llada llada-moe modern-bert neo-bert nomic-bert "
    "nomic-bert-moe rnd1 t5encoder wavtokenizer-dec".split()
)
"""Architectures that see a whole text at once: nothing is kept."""


@dataclass
class Layer:
    """One repeating layer. Bytes of weights; values kept."""

    weights: int = 0
    experts: int = 0
    """Those of `weights` that are experts, of which each token uses a few."""
    k_width: int = 0
    """Values of a cell's key over all heads; 0: the layer keeps no cells."""
    v_width: int = 0
    state: int = 0
    """Values of a sequence's recurrent state, which are always F32."""


@dataclass
class ModelShape:
    """A model as far as memory is concerned."""

    architecture: str
    layers: list[Layer]
    input_weights: int = 0
    """Bytes of the token embeddings, which llama.cpp leaves in RAM."""
    output_weights: int = 0
    """Bytes of what comes after the last layer; with tied embeddings, a copy of them."""
    ram_weights: int = 0
    """Bytes of tensors that are to stay in RAM."""
    tied: bool = False
    """Whether there is no output tensor: the embeddings are used again."""
    n_ctx_train: int = 0
    n_vocab: int = 0
    n_embd: int = 0
    n_head: int = 0
    """Of the layer with the most."""
    n_ff: int = 0
    """Values between a layer's feed-forward matrices: of all experts that a token uses."""
    n_experts_used: int = 0
    """By one token; 0: no mixture of experts."""
    n_swa: int = 0
    """Tokens that sliding-window layers attend to; 0: no such layers."""

    @property
    def weights(self) -> int:
        """Bytes of all tensors in the file."""
        layers = sum(layer.weights for layer in self.layers)
        copied = self.input_weights if self.tied else 0
        return self.input_weights + layers + self.output_weights - copied + self.ram_weights

    @property
    def has_states(self) -> bool:
        """Whether a layer keeps a recurrent state, so that of a sequence no part can be removed or copied."""
        return any(layer.state for layer in self.layers)


def model_shape(model: ModelFile, in_ram: Sequence[re.Pattern[str]] = ()) -> ModelShape:
    """The shape of a model; nonsense in, zeros out. `in_ram`: tensors whose names match count as no layer's."""
    header, arch = model.header, model.header.architecture

    def integer(key: str) -> int:
        return max(0, header.integer(f"{arch}.{key}") or 0)

    blocks = _blocks(model)
    n_layers = max(blocks, default=-1) + 1
    shape = ModelShape(arch, [Layer() for _ in range(n_layers)])
    heads = _per_layer(header, f"{arch}.attention.head_count", n_layers)
    shape.n_ctx_train, shape.n_embd = integer("context_length"), integer("embedding_length")
    shape.n_head, shape.n_swa = max(heads, default=0), integer("attention.sliding_window")
    shape.n_experts_used = max(_per_layer(header, f"{arch}.expert_used_count", n_layers), default=0)
    shape.n_ff = _feed_forward(header, n_layers, shape.n_experts_used)
    n_predicting = integer("nextn_predict_layers")
    n_sharing = integer("attention.shared_kv_layers")
    for i, layer in enumerate(shape.layers):
        tensors = blocks.get(i, {})
        for tensor in tensors.values():
            if any(pattern.search(tensor.name) for pattern in in_ram):
                shape.ram_weights += tensor.n_bytes
                continue
            layer.weights += tensor.n_bytes
            layer.experts += tensor.n_bytes if re.search(EXPERTS_OF_A_LAYER, tensor.name) else 0
        if arch in NOT_CACHED or i >= n_layers - n_predicting:  # further tokens are not predicted here
            continue
        if any(name.startswith(RECURRENT) for name in tensors):
            layer.state = _state(header, heads[i] if heads else 0)
        if i < n_layers - n_sharing:
            layer.k_width, layer.v_width = _cell_widths(header, tensors, i, n_layers)
    for tensor in model.tensors:
        if BLOCK.match(tensor.name):
            continue
        if tensor.name == "token_embd.weight":
            shape.input_weights += tensor.n_bytes
            shape.n_vocab = tensor.shape[1] if len(tensor.shape) > 1 else 0
        else:
            shape.output_weights += tensor.n_bytes
    shape.tied = bool(shape.input_weights) and all(tensor.name != "output.weight" for tensor in model.tensors)
    if shape.tied:
        shape.output_weights += shape.input_weights
    return shape


def _blocks(model: ModelFile) -> dict[int, dict[str, Tensor]]:
    """The layers' tensors by number, and by their names within the layer."""
    blocks: dict[int, dict[str, Tensor]] = {}
    for tensor in model.tensors:
        if match := BLOCK.match(tensor.name):
            number = int(match[1])
            if number < 4096:
                blocks.setdefault(number, {})[match[2]] = tensor
    return blocks


def _cell_widths(header: Header, tensors: dict[str, Tensor], layer: int, n_layers: int) -> tuple[int, int]:
    """Values of a cell's key and value in a layer."""
    arch = header.architecture

    def rows(name: str) -> int:
        tensor = tensors.get(name)
        return tensor.shape[1] if tensor is not None and len(tensor.shape) > 1 else 0

    compressed = rows("attn_kv_a_mqa.weight")
    if compressed and header.integer(f"{arch}.attention.key_length_mla"):
        return compressed, 0  # multi-head latent attention: the value is a part of the key
    if k_width := rows("attn_k.weight"):
        return k_width, rows("attn_v.weight") or k_width
    recurrent = any(name.startswith(RECURRENT) for name in tensors)
    if recurrent or not any(name.startswith(("attn_qkv", "attn_kv", "attn_q.", "attn_q_")) for name in tensors):
        return 0, 0
    heads = _per_layer(header, f"{arch}.attention.head_count", n_layers)
    heads_kv = _per_layer(header, f"{arch}.attention.head_count_kv", n_layers) or heads
    if not heads:
        return 0, 0
    head_size = (header.integer(f"{arch}.embedding_length") or 0) // max(1, heads[layer])
    key = header.integer(f"{arch}.attention.key_length") or head_size
    value = header.integer(f"{arch}.attention.value_length") or head_size
    return max(0, heads_kv[layer] * key), max(0, heads_kv[layer] * value)


def _state(header: Header, n_head: int) -> int:
    """Values of one sequence's recurrent state in a layer: llama.cpp's n_embd_r + n_embd_s."""
    arch = header.architecture

    def integer(key: str) -> int:
        return max(0, header.integer(f"{arch}.{key}") or 0)

    n_embd = integer("embedding_length")
    if wkv := integer("wkv.head_size"):  # RWKV
        return n_embd * (integer("token_shift_count") or 2) + n_embd * wkv
    if kernel := integer("shortconv.l_cache"):  # LFM2
        return n_embd * (kernel - 1)
    kernel = max(1, integer("ssm.conv_kernel"))
    if head := integer("kda.head_dim"):  # Kimi Linear
        return 3 * (kernel - 1) * n_head * head + head * head * n_head
    inner, state = integer("ssm.inner_size"), integer("ssm.state_size")
    return (kernel - 1) * (inner + 2 * integer("ssm.group_count") * state) + state * inner


def _feed_forward(header: Header, n_layers: int, n_experts_used: int) -> int:
    arch = header.architecture
    dense = max(_per_layer(header, f"{arch}.feed_forward_length", n_layers), default=0)
    expert = max(_per_layer(header, f"{arch}.expert_feed_forward_length", n_layers), default=0) or dense
    return max(dense, n_experts_used * expert)


def _per_layer(header: Header, key: str, n_layers: int) -> list[int]:
    """A number for each layer, which headers give once or one by one; empty if they don't."""
    value = header.values.get(key)
    if isinstance(value, Array):
        items = [item if isinstance(item, int) else 0 for item in value.items or ()]
        return [*items, *[0] * n_layers][:n_layers]
    number = header.integer(key)
    return [] if number is None else [max(0, number)] * n_layers
