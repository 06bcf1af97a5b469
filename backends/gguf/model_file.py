"""A model's GGUF: one file, or the parts that it was split into (`NAME-00001-of-00003.gguf` and so on)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .byte_reader import GGUFError
from .file_name import part_name, split_name
from .header import Header, Tensor, is_native, read_header

MAX_LAYERS = 512
"""llama.cpp ends its process at more."""


@dataclass(frozen=True)
class ModelFile:
    """The headers of all parts of a model, the first one first."""

    parts: tuple[Header, ...]

    @property
    def header(self) -> Header:
        """The first part's: the key-values are there."""
        return self.parts[0]

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(tensor for part in self.parts for tensor in part.tensors)

    @property
    def file_size(self) -> int:
        return sum(part.file_size for part in self.parts)

    @property
    def missing_bytes(self) -> int:
        return sum(part.missing_bytes for part in self.parts)


def read_model_file(path: Path) -> ModelFile:
    """The headers of `path` and of the parts that belong to it. Raises GGUFError: also if a part is missing or isn't
    the same model's, or if `path` isn't the first one."""
    first = read_header(path)
    count = first.integer("split.count") or 1
    if count == 1:
        return ModelFile((first,))
    number = first.integer("split.no")
    named = split_name(path.name)
    if number != 0:
        raise GGUFError(
            f"it is part {1 if number is None else number + 1} of {count}: name the first part"
            + (f", {part_name(named.stem, 1, count)}" if named else "")
        )
    if named is None or path.name != part_name(named.stem, 1, count):
        raise GGUFError(f"it is the first of {count} parts, so its name must end with -00001-of-{count:05}.gguf")
    paths = [path.with_name(part_name(named.stem, i, count)) for i in range(2, count + 1)]
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        raise GGUFError(f"{len(missing)} of its {count} parts are not beside it: {_listed(missing)}")
    return _joined(first, [_part(part, i, count) for i, part in enumerate(paths, 1)])


def check_model_file(path: Path) -> ModelFile:
    """`read_model_file`, and whether all data is there, for this machine, and of a size that can be loaded. Raises
    GGUFError."""
    model = read_model_file(path)
    for part in model.parts:
        of = f"{part.path.name}: " if part.path != path else ""
        if not is_native(part):
            raise GGUFError(f"{of}its numbers are {part.byte_order}-endian, which llama.cpp can't read on this machine")
        if part.missing_bytes:
            whole = part.file_size + part.missing_bytes
            raise GGUFError(f"{of}the file is truncated: {part.file_size} of {whole} bytes are there")
    header = model.header
    n_layers = header.integer(f"{header.architecture}.block_count")
    if n_layers is not None and not 1 <= n_layers <= MAX_LAYERS:
        raise GGUFError(f"it claims {n_layers} layers: llama.cpp loads from 1 to {MAX_LAYERS}")
    return model


def _part(path: Path, number: int, count: int) -> Header:
    try:
        part = read_header(path)
    except GGUFError as error:
        raise GGUFError(f"{path.name}: {error}") from None
    if part.integer("split.no") != number or part.integer("split.count") != count:
        raise GGUFError(f"{path.name} is not part {number + 1} of {count}, as its name says")
    return part


def _joined(first: Header, others: list[Header]) -> ModelFile:
    model = ModelFile((first, *others))
    names = [tensor.name for tensor in model.tensors]
    if len(set(names)) < len(names):
        raise GGUFError("its parts are not those of one model: a tensor is in two of them")
    expected = first.integer("split.tensors.count")
    if expected is not None and expected != len(names):
        raise GGUFError(f"its parts are not those of one model: {len(names)} tensors instead of {expected}")
    return model


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
