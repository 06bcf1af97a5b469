"""PyTorch's pickles (`.bin`, `.pth`): tensors only, no code run, mapped rather than read."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

from .errors import ConvertError, check_not_a_pointer
from .stored_tensor import Array, StoredTensor

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""PyTorch's names of types as safetensors calls them."""


def torch_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a pickled dictionary. Raises ConvertError."""
    found = _load(path)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise ConvertError(f"{path} holds no dictionary of tensors")
    torch = _torch()
    return {str(name): _tensor(value) for name, value in found.items() if isinstance(value, torch.Tensor)}


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ConvertError(
            "this checkpoint is PyTorch's pickle, and reading it needs PyTorch: pip install torch"
        ) from None
    return torch


def _load(path: Path) -> Any:
    is_archive = _is_archive(path)
    torch = _torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickles
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except pickle.UnpicklingError:
        raise ConvertError(
            f"{path} is refused: its pickle holds something else than weights, which might run code, or is damaged"
        ) from None
    except Exception as error:  # what a damaged file makes of it is anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConvertError(f"{path} is truncated or not PyTorch's ({reason})") from None


def _is_archive(path: Path) -> bool:
    """Files from before PyTorch 1.6 are no archives, and can't be mapped. Raises ConvertError."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ConvertError(f"cannot read {path}: {error.strerror}") from None
    check_not_a_pointer(path, start)
    if not start.startswith((b"PK", b"\x80")):
        raise ConvertError(f"{path} is not PyTorch's")
    return start.startswith(b"PK")


def _tensor(tensor: Any) -> StoredTensor:
    kind = str(tensor.dtype).removeprefix("torch.")

    def load() -> Array:
        torch = _torch()
        whole = tensor.detach().contiguous()
        found: Array = (whole.view(torch.uint16) if kind == "bfloat16" else whole).numpy()
        return found

    return StoredTensor(tuple(tensor.shape), NAMES.get(kind, kind.upper()), load)
