"""Meta's own checkpoints: `params.json`, and shards that each hold a part of every tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from .architecture import Architecture, Layers, Size
from .errors import ConvertError, read_json, some
from .rope import Rope, read_rope
from .stored_tensor import Array, StoredTensor
from .tensors import META, Shape, expected_shapes


class _Params(msgspec.Struct):
    dim: Size
    n_layers: Layers
    n_heads: Size
    norm_eps: float
    n_kv_heads: Size | None = None
    multiple_of: Size = 256
    ffn_dim_multiplier: float | None = None
    rope_theta: float = 10000.0
    use_scaled_rope: bool = False
    rope_scaling_factor: float | None = None
    moe: dict[str, object] | None = None


def read_meta(folder: Path, shards: Sequence[Mapping[str, StoredTensor]]) -> Architecture:
    """The model of a checkpoint. Raises ConvertError."""
    path = folder / "params.json"
    if not path.is_file():
        raise ConvertError(f"{folder} has Meta's weights without their params.json")
    try:
        params = msgspec.convert(read_json(path), _Params)
    except msgspec.ValidationError as error:
        raise ConvertError(f"{path}: {error}") from None
    if params.moe or params.dim % params.n_heads:
        raise ConvertError(f"{path} is of an architecture that this command can't convert")
    outputs = [shard["output.weight"] for shard in shards if "output.weight" in shard]
    if len(outputs) != len(shards):
        raise ConvertError("the checkpoint lacks output.weight")
    n_ctx = _context_length(params)
    return Architecture(
        name="llama",
        n_layer=params.n_layers,
        n_embd=params.dim,
        n_ff=_n_ff(params),
        n_head=params.n_heads,
        n_head_kv=params.n_kv_heads or params.n_heads,
        head_dim=params.dim // params.n_heads,
        # params.json of Llama 2 says -1: as many as the tokenizer has.
        n_vocab=sum(output.shape[0] for output in outputs),
        n_ctx=n_ctx,
        rms_eps=params.norm_eps,
        rope=_rope(params),
        notes=(f"params.json doesn't tell how long texts may be: {n_ctx:,} tokens, as such models have it",),
    )


def joined(shards: Sequence[Mapping[str, StoredTensor]], model: Architecture) -> dict[str, StoredTensor]:
    """Whole tensors: each shard's part, along the side where it is smaller than it must be. Raises ConvertError."""
    expected = expected_shapes(model, META)
    for number, shard in enumerate(shards):
        if lost := sorted(expected.keys() - shard.keys()):
            raise ConvertError(f"consolidated.{number:02}.pth lacks {some(lost)}")
    rest = {name: tensor for name, tensor in shards[0].items() if name not in expected}
    return rest | {name: _joined(name, [shard[name] for shard in shards], shape) for name, shape in expected.items()}


def _joined(name: str, parts: list[StoredTensor], shape: Shape) -> StoredTensor:
    if parts[0].shape == shape:  # one shard, or every one has it all
        return parts[0]
    axes = [axis for axis in range(len(shape)) if _sizes_fit(parts, shape, axis)]
    if not axes or len({part.dtype for part in parts}) > 1:
        shapes = some([str(list(part.shape)) for part in parts])
        raise ConvertError(f"the parts of {name} ({shapes}) make no tensor of the shape {list(shape)}")

    def load() -> Array:
        return np.concatenate([part.load() for part in parts], axis=axes[0])

    return StoredTensor(shape, parts[0].dtype, load)


def _sizes_fit(parts: list[StoredTensor], shape: Shape, axis: int) -> bool:
    def others(sizes: Shape) -> Shape:
        return sizes[:axis] + sizes[axis + 1 :]

    return all(len(part.shape) == len(shape) and others(part.shape) == others(shape) for part in parts) and (
        sum(part.shape[axis] for part in parts) == shape[axis]
    )


def _n_ff(params: _Params) -> int:
    """As Meta's program computes it."""
    size = int(2 * (4 * params.dim) / 3)
    if params.ffn_dim_multiplier is not None:
        size = int(params.ffn_dim_multiplier * size)
    return -(-size // params.multiple_of) * params.multiple_of


def _context_length(params: _Params) -> int:
    """Known models by what their files differ in."""
    if params.use_scaled_rope:
        return 131072  # Llama 3.1 and later
    if params.rope_theta == 500000.0:
        return 8192  # Llama 3
    if params.rope_theta == 1000000.0:
        return 16384  # Code Llama
    return 4096 if params.norm_eps == 1e-5 else 2048  # Llama 2, Llama


def _rope(params: _Params) -> Rope:
    if not params.use_scaled_rope:
        return Rope(params.rope_theta)
    # Llama 3.2's small models stretch further, and their files don't say so.
    factor = params.rope_scaling_factor or (32.0 if params.dim <= 3072 else 8.0)
    asked = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    return read_rope(asked, params.rope_theta, 0)
