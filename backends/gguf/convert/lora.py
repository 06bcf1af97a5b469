"""PEFT's LoRA adapters → GGUF adapters.

llama.cpp adds `adapter.lora.alpha` / rank × B·A to a matrix: what PEFT scales otherwise (rank-stabilised LoRA, ranks
and alphas by module) is put into alpha, and where it differs between modules, into B.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, Keys

from .architecture import Architecture, read_architecture
from .conversion import PlannedTensor, write_tensors
from .encoding import OUTTYPES, as_float32, encoded, target_type
from .errors import ConvertError, read_json, some
from .safetensors_file import safetensors_tensors
from .stored_tensor import DTYPES, Array, StoredTensor
from .tensors import expected_shapes, gguf_name, n_rotated, name_map, pair_rows
from .torch_file import torch_tensors

NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>A|B|embedding_A|embedding_B)(\.weight)?")

EMBEDDINGS = "model.embed_tokens"
BASE_LAYER = ".base_layer.weight"


class _Config(msgspec.Struct):
    """What is read of `adapter_config.json`."""

    r: int
    lora_alpha: float
    peft_type: str = "LORA"
    base_model_name_or_path: str | None = None
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    modules_to_save: list[str] | None = None
    target_parameters: list[str] | None = None
    trainable_token_indices: Any = None
    layer_replication: Any = None
    alpha_pattern: dict[str, float] | None = None
    alora_invocation_tokens: list[int] | None = None
    invocation_string: str | None = None
    """Of activated LoRA, before PEFT had it: to be tokenized."""


class LoraConversion:
    """An adapter that is understood and checked against its base model's configuration. Raises ConvertError."""

    def __init__(self, folder: Path, base: Path | None = None, outtype: str = "f32") -> None:
        self.folder = folder
        self.config = _read_config(folder)
        self.base = _base_folder(folder, self.config, base)
        self.model = read_architecture(self.base)
        found = _without_base_layers(_adapter_tensors(folder), self.model)
        self.alpha = _scale(self.config, self.config.r, self.config.lora_alpha) * self.config.r
        self.tensors = list(self._planned(found, OUTTYPES[outtype][0]))
        self.n_modules = len(self.tensors) // 2

    @property
    def n_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    def write(self, path: Path) -> None:
        """Write the GGUF adapter. Raises ConvertError, OSError."""
        writer = GGUFWriter(path, self.model.name)
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_name(self.folder.resolve().name)
            writer.add_string(Keys.Adapter.TYPE, "lora")
            writer.add_float32(Keys.Adapter.LORA_ALPHA, self.alpha)
            if tokens := self.config.alora_invocation_tokens:
                key = Keys.Adapter.ALORA_INVOCATION_TOKENS
                writer.add_key_value(key, tokens, GGUFValueType.ARRAY, GGUFValueType.UINT32)
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            write_tensors(writer, self.tensors)
        finally:
            writer.close()

    def _planned(self, found: dict[str, StoredTensor], wanted: GGMLQuantizationType) -> Iterator[PlannedTensor]:
        names, shapes = name_map(self.model), expected_shapes(self.model)
        for module, (a, b) in _pairs(found).items():
            if module == EMBEDDINGS and self.model.tied:
                raise ConvertError(
                    "the adapter changes the embeddings, which are the model's output too: llama.cpp can't tell them "
                    "apart"
                )
            shape = shapes.get(f"{module}.weight")
            if shape is None:
                raise ConvertError(f"the adapter changes {module}, which the base model hasn't")
            rank = _check_shapes(module, a, b, shape)
            alpha = _by_module(self.config.alpha_pattern, module, self.config.lora_alpha)
            factor = _scale(self.config, rank, alpha) / (self.alpha / rank)
            name = gguf_name(names, f"{module}.weight")
            # llama.cpp looks rows of the embeddings' A up by token, so that must be the other way round.
            yield _matrix(f"{name}.lora_a", a, wanted, np.transpose if module == EMBEDDINGS else None)
            yield _matrix(f"{name}.lora_b", b, wanted, _b_change(self.model, module, factor))


def _read_config(folder: Path) -> _Config:
    if not folder.is_dir():
        raise ConvertError(f"{folder}: no such folder")
    path = folder / "adapter_config.json"
    if not path.is_file():
        hint = "; it is a model: paddock convert" if (folder / "config.json").is_file() else ""
        raise ConvertError(f"{folder} is no adapter of PEFT's: it has no adapter_config.json{hint}")
    raw = read_json(path)
    if raw.get("peft_type", "LORA") != "LORA":
        raise ConvertError(f"the adapter is of PEFT's type {raw['peft_type']}: llama.cpp has LoRA only")
    try:
        config = msgspec.convert(raw, _Config)
    except msgspec.ValidationError as error:
        raise ConvertError(f"{path}: {error}") from None
    _refuse_variants(config)
    return config


def _refuse_variants(config: _Config) -> None:
    """What a GGUF adapter can't hold."""
    merge = "merge the adapter into its base model by PEFT, and convert that"
    for asked, what in (
        (config.use_dora, "DoRA (use_dora), which llama.cpp hasn't"),
        (config.bias != "none", f"biases (bias: {config.bias})"),
        (config.lora_bias, "biases (lora_bias)"),
        (config.modules_to_save, f"whole modules (modules_to_save: {', '.join(config.modules_to_save or [])})"),
        (config.trainable_token_indices, "rows of the embeddings (trainable_token_indices)"),
        (config.target_parameters, "parameters without a module (target_parameters)"),
        (config.layer_replication, "replicated layers (layer_replication)"),
        (config.fan_in_fan_out, "transposed matrices (fan_in_fan_out)"),
    ):
        if asked:
            raise ConvertError(f"the adapter has {what}, and a GGUF adapter can't: {merge}")
    if config.r < 1 or config.lora_alpha == 0:
        raise ConvertError("adapter_config.json: the rank r must be at least 1, and lora_alpha not 0")
    if config.invocation_string and not config.alora_invocation_tokens:
        raise ConvertError(
            "the activated LoRA names its invocation as text (invocation_string): put the tokens into "
            "adapter_config.json as alora_invocation_tokens, as PEFT now writes them"
        )


def _base_folder(folder: Path, config: _Config, base: Path | None) -> Path:
    if base is None and (named := config.base_model_name_or_path):
        places = [Path(named), folder / named]
        base = next((place for place in places if (place / "config.json").is_file()), None)
        if base is None:
            raise ConvertError(
                f"the adapter's base model is {named}, which is no folder here: name one with its config.json by --base"
            )
    if base is None:
        raise ConvertError("adapter_config.json names no base model: name a folder with its config.json by --base")
    if not (base / "config.json").is_file():
        raise ConvertError(f"{base} has no config.json: --base wants the folder of the adapter's base model")
    return base


def _adapter_tensors(folder: Path) -> dict[str, StoredTensor]:
    for name, reader in (("adapter_model.safetensors", safetensors_tensors), ("adapter_model.bin", torch_tensors)):
        if (folder / name).is_file():
            return reader(folder / name)
    raise ConvertError(f"{folder} holds no weights: neither adapter_model.safetensors nor adapter_model.bin")


def _without_base_layers(found: dict[str, StoredTensor], model: Architecture) -> dict[str, StoredTensor]:
    """PEFT puts embeddings of the base model beside their adapters, though they are what they were: unless the
    vocabulary has grown."""
    shape = (model.n_vocab, model.n_embd)
    for name, tensor in found.items():
        if name.endswith(BASE_LAYER) and tensor.shape != shape:
            raise ConvertError(
                f"the adapter's base model has a vocabulary of {tensor.shape[0]} tokens, and this one {model.n_vocab}"
            )
    return {name: tensor for name, tensor in found.items() if not name.endswith(BASE_LAYER)}


def _pairs(found: dict[str, StoredTensor]) -> dict[str, tuple[StoredTensor, StoredTensor]]:
    """A and B of each module."""
    sides: dict[str, dict[str, StoredTensor]] = {}
    strange = []
    for name, tensor in found.items():
        match = NAME.fullmatch(name)
        if match is None or tensor.dtype not in DTYPES:
            strange.append(name)
        else:
            sides.setdefault(match["module"], {})[match["side"][-1]] = tensor
    if strange:
        raise ConvertError(f"the adapter has tensors that are not LoRA's: {some(sorted(strange))}")
    if not sides:
        raise ConvertError("the adapter has no tensors")
    if halves := sorted(module for module, pair in sides.items() if len(pair) < 2):
        raise ConvertError(f"the adapter lacks one of the two matrices of {some(halves)}")
    return {module: (pair["A"], pair["B"]) for module, pair in sides.items()}


def _check_shapes(module: str, a: StoredTensor, b: StoredTensor, shape: tuple[int, ...]) -> int:
    """The rank of a module's pair."""
    rows, columns = shape[::-1] if module == EMBEDDINGS else shape
    rank = a.shape[0] if a.shape else 0
    if rank == 0 or a.shape != (rank, columns) or b.shape != (rows, rank):
        raise ConvertError(
            f"the adapter's {module} has the shapes {list(a.shape)} and {list(b.shape)}, where the base model's matrix "
            f"is {list(shape)}: is it the right one?"
        )
    return rank


def _scale(config: _Config, rank: int, alpha: float) -> float:
    """What PEFT multiplies B·A by."""
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _by_module(pattern: dict[str, float] | None, module: str, default: float) -> float:
    """PEFT's patterns: a name's end, or a regular expression of it."""
    for key, value in (pattern or {}).items():
        try:
            if re.fullmatch(rf"(.*\.)?({key})", module):
                return value
        except re.error as error:
            raise ConvertError(f"adapter_config.json: {key!r} is no regular expression: {error}") from None
    return default


def _b_change(model: Architecture, module: str, factor: float) -> Callable[[Array], Array] | None:
    """What becomes of B's values: rows in llama.cpp's order, and a scale of its own."""
    n_heads = n_rotated(model, f"{module}.weight")
    if n_heads is None and math.isclose(factor, 1.0):
        return None

    def change(values: Array) -> Array:
        rows = values if n_heads is None else pair_rows(values, n_heads)
        return rows * np.float32(factor)

    return change


def _matrix(
    name: str, tensor: StoredTensor, wanted: GGMLQuantizationType, change: Callable[[Array], Array] | None
) -> PlannedTensor:
    shape = tensor.shape[::-1] if change is np.transpose else tensor.shape
    kind = target_type(shape, wanted)

    def chunks() -> Iterator[Array]:
        values = as_float32(tensor.load(), tensor.dtype)
        return encoded(values if change is None else np.ascontiguousarray(change(values)), "F32", kind, name)

    return PlannedTensor(name, shape, kind, chunks)
