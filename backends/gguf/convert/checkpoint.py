"""A checkpoint's folder: which files hold its weights, and what tensors are in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ConvertError, read_json, some
from .safetensors_file import safetensors_tensors
from .stored_tensor import StoredTensor
from .torch_file import torch_tensors

Reader = Callable[[Path], dict[str, StoredTensor]]

SINGLE: dict[str, Reader] = {"model.safetensors": safetensors_tensors, "pytorch_model.bin": torch_tensors}
"""The names under which Transformers saves weights, the preferred ones first; sharded ones have an `.index.json`."""
META = "consolidated.*.pth"
"""Meta's own."""


@dataclass(frozen=True)
class Checkpoint:
    """Transformers' checkpoint, or Meta's: then each shard holds a part of every tensor."""

    folder: Path
    shards: tuple[dict[str, StoredTensor], ...]
    """One, with all tensors, unless Meta's."""
    is_meta: bool


def open_checkpoint(folder: Path) -> Checkpoint:
    """Find the weights of a folder. Raises ConvertError, if there are none or a part is missing."""
    _check_folder(folder)
    for name, reader in SINGLE.items():
        index = folder / f"{name}.index.json"
        if index.is_file():
            return Checkpoint(folder, (_sharded(index, reader),), is_meta=False)
        if (folder / name).is_file():
            return Checkpoint(folder, (reader(folder / name),), is_meta=False)
    if found := sorted(folder.glob(META)):
        _check_numbers(folder, found)
        return Checkpoint(folder, tuple(map(torch_tensors, found)), is_meta=True)
    if parts := sorted(folder.glob("*-of-*.safetensors")) + sorted(folder.glob("*-of-*.bin")):
        raise ConvertError(f"{folder} has parts ({parts[0].name} …) without the index that says what is in which")
    wanted = ", ".join([*SINGLE, META])
    raise ConvertError(f"{folder} holds no weights: none of {wanted}")


def _check_folder(folder: Path) -> None:
    """Say what a folder is that is no checkpoint. Raises ConvertError."""
    if folder.is_file():
        if folder.suffix == ".gguf":
            raise ConvertError(f"{folder} is a GGUF already: paddock quantize changes its type")
        raise ConvertError(f"{folder} is a file: name the folder of the checkpoint")
    if not folder.is_dir():
        raise ConvertError(f"{folder}: no such folder")
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ConvertError(f"{folder} is an adapter: convert it by paddock convert-lora")
    if not (folder / "config.json").is_file() and any(folder.glob("*.gguf")):
        raise ConvertError(f"{folder} holds GGUF files already, not a checkpoint")


def _sharded(index: Path, reader: Reader) -> dict[str, StoredTensor]:
    places = _places(index)
    names = sorted(set(places.values()))
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise ConvertError(f"{index.parent} lacks {some(missing)} ({len(missing)} of {len(names)} parts)")
    found: dict[str, StoredTensor] = {}
    for name in names:
        found.update(reader(index.parent / name))
    if lost := sorted(places.keys() - found.keys()):
        raise ConvertError(f"{index.name} tells of tensors that its parts lack: {some(lost)}")
    return found


def _places(index: Path) -> Mapping[str, str]:
    """Which file has which tensor."""
    places: Any = read_json(index).get("weight_map")
    # A name with a path in it would be read from wherever it points.
    if not isinstance(places, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in places.values()
    ):
        raise ConvertError(f"{index} has no weight_map of file names")
    return places


def _check_numbers(folder: Path, found: list[Path]) -> None:
    numbers = [int(match[1]) if (match := re.fullmatch(r"consolidated\.(\d+)\.pth", p.name)) else -1 for p in found]
    if lost := sorted(set(range(max(numbers) + 1)) - set(numbers)):
        raise ConvertError(f"{folder} lacks {some([f'consolidated.{number:02}.pth' for number in lost])}")
