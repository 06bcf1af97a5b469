"""Whether a file is a LoRA adapter that a model can take: llama.cpp ends the process on some that it can't.

Reads headers only, and knows no ctypes: it runs where a mistake costs nothing, before the engine sees the file.
"""

from __future__ import annotations

from pathlib import Path

from backends.base import AdapterLoadError
from backends.gguf.byte_reader import GGUFError
from backends.gguf.header import Header, Tensor, is_native, read_header
from backends.gguf.model_file import ModelFile, read_model_file

A, B = ".lora_a", ".lora_b"
EMBEDDINGS, OUTPUT = "token_embd.weight", "output.weight"
TYPES = ("F32", "F16", "BF16", "Q8_0")
"""What converters write; llama.cpp would end at the first batch with integers."""
PASSED_OVER = "_norm.weight"
"""llama.cpp leaves out what changes these."""


def check_adapter(path: Path, model: Path) -> None:
    """Raises AdapterLoadError, with the reason in a line, if the model in the other file can't take it."""
    try:
        if path.is_dir():
            raise GGUFError("it is a folder (paddock convert-lora makes a GGUF of a PEFT adapter)")
        adapter = read_header(path)
        _check_keys(adapter)
        try:
            base = read_model_file(model)
        except GGUFError as error:
            raise AdapterLoadError(f"cannot check it: {model}: {error}") from None
        if adapter.architecture != base.header.architecture:
            raise GGUFError(
                f"it is for models of the architecture {adapter.architecture!r}, the model's is "
                f"{base.header.architecture!r}"
            )
        _check_tensors(adapter, base)
    except GGUFError as error:
        raise AdapterLoadError(f"cannot load the LoRA adapter {path}: {error}") from None


def _check_keys(adapter: Header) -> None:
    if not is_native(adapter):
        raise GGUFError(f"its numbers are {adapter.byte_order}-endian, which llama.cpp can't read on this machine")
    if (kind := adapter.text("general.type")) != "adapter":
        raise GGUFError("it is no adapter" + (f" (its general.type is {kind!r})" if kind else " (no general.type)"))
    if (kind := adapter.text("adapter.type")) != "lora":
        raise GGUFError(f"only LoRA adapters can be applied (its adapter.type is {kind!r})")
    if not adapter.architecture:
        raise GGUFError("it doesn't say which architecture it is for (general.architecture)")
    alpha = adapter.values.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, float) or not abs(alpha) < float("inf"):
        raise GGUFError(f"its adapter.lora.alpha is no number to scale with: {alpha!r}")
    if "adapter.alora.invocation_tokens" in adapter.values:
        raise GGUFError(
            "it is an activated LoRA (aLoRA), which only acts from certain tokens on: these are not supported here"
        )
    if adapter.missing_bytes:
        whole = adapter.file_size + adapter.missing_bytes
        raise GGUFError(f"the file is truncated: {adapter.file_size} of {whole} bytes are there")


def _check_tensors(adapter: Header, base: ModelFile) -> None:
    weights = {tensor.name: tensor for tensor in base.tensors}
    parts = {tensor.name: tensor for tensor in adapter.tensors if not tensor.name.endswith(PASSED_OVER)}
    for name, part in parts.items():
        weight, suffix = name[: -len(A)], name[-len(A) :]
        if suffix not in (A, B):
            raise GGUFError(f"its tensor {name!r} is no part of a LoRA: the name ends with neither {A} nor {B}")
        if part.type.name not in TYPES:
            raise GGUFError(f"its tensor {name!r} is of type {part.type.name}: it must be {' or '.join(TYPES)}")
        if suffix == B:
            if weight + A not in parts:
                raise GGUFError(f"it has {name!r} without {A}")
        elif weight + B not in parts:
            raise GGUFError(f"it has {name!r} without {B}")
        elif weight not in weights:
            raise GGUFError(f"it changes {weight!r}, which this model doesn't have: it is another model's")
        else:
            _check_pair(weights[weight], part, parts[weight + B], tied=OUTPUT not in weights)
    if not parts:
        raise GGUFError("it changes nothing: it has no tensors")


def _check_pair(weight: Tensor, a: Tensor, b: Tensor, *, tied: bool) -> None:
    """ggml's shapes begin with the columns."""
    if weight.type.name == "NVFP4":
        raise GGUFError(f"it changes {weight.name!r}, and llama.cpp takes no LoRA on weights of the type NVFP4")
    if weight.name == EMBEDDINGS:
        if tied:
            raise GGUFError(
                f"it changes {EMBEDDINGS!r}, which is this model's output weight too: llama.cpp can't apply that"
            )
        a_rows, b_rows = weight.shape[1], weight.shape[0]
        fits = (a.shape[1:2], b.shape[1:2]) == ((a_rows,), (b_rows,)) and a.shape[0] == b.shape[0]
    else:
        columns, rows = (*weight.shape, 1)[:2]
        fits = a.shape[0] == columns and (*b.shape, 1)[1] == rows and (*a.shape, 1)[1] == b.shape[0]
    if not fits or not _rest(a) == _rest(b) == _rest(weight) or not a.n_values or not b.n_values:
        raise GGUFError(
            f"its {_shape(a)} and {_shape(b)} do not fit {weight.name!r} of {_shape(weight)}: it is another model's"
        )


def _rest(tensor: Tensor) -> tuple[int, ...]:
    """A tensor of experts has a matrix for each."""
    rest = tensor.shape[2:]
    while rest and rest[-1] == 1:
        rest = rest[:-1]
    return rest


def _shape(tensor: Tensor) -> str:
    return " × ".join(str(size) for size in tensor.shape)
