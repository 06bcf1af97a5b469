"""Which files of a repository are models, and which of them a quantization's name means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from backends.gguf.file_name import is_model_name, model_stem, split_name

from .name import HubError, HubName

DEFAULT_QUANTS = ("Q4_K_M", "Q8_0")
"""What is taken where no quantization is named, else the first model: llama-server's rule."""

_QUANT = re.compile(
    r"(?<![A-Z0-9])(?:UD-)?(?:I?Q[1-8]|TQ[12]|MXFP4|NVFP4|BF16|F16|F32|FP16|FP32)"
    r"(?:_(?:[0-9]+|K|XXS|XS|S|M|L|XL|NL|MOE))*(?![A-Z0-9])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RepoModel:
    """One model of a repository: its file, or the parts of it in their order."""

    files: tuple[str, ...]
    parts: int
    """How many files it should have."""

    @property
    def whole(self) -> bool:
        return len(self.files) == self.parts

    @property
    def quant(self) -> str | None:
        """As its name tells, in capitals."""
        found = _QUANT.findall(model_stem(self.files[0]))
        return found[-1].upper() if found else None


def models(files: Iterable[str]) -> list[RepoModel]:
    """The models among a repository's files, in the files' order."""
    found: dict[tuple[str, int], list[str]] = {}
    for file in files:
        if is_model_name(file.rpartition("/")[2]):
            found.setdefault(_stem_and_parts(file), []).append(file)
    return [RepoModel(tuple(sorted(parts)), expected) for (_stem, expected), parts in found.items()]


def choose(name: HubName, files: Iterable[str]) -> RepoModel:
    """The model that `name` means among the files of its repository. Raises HubError."""
    files = list(files)
    chosen = _by_file(name, files) if name.file is not None else _by_quant(name, files)
    if not chosen.whole:
        raise HubError(f"{name.repo} has {len(chosen.files)} of {chosen.parts} parts of {chosen.files[0]} only")
    return chosen


def matching(found: list[RepoModel], quant: str) -> list[RepoModel]:
    """The models that a quantization's name means: by their own, else by any part of the file's name."""
    for wanted in (quant.upper(), f"UD-{quant.upper()}"):
        if exact := [model for model in found if model.quant == wanted]:
            return exact
    part = re.compile(rf"(?<![A-Z0-9]){re.escape(quant)}[.-]", re.IGNORECASE)
    return [model for model in found if part.search(model.files[0])]


def _stem_and_parts(file: str) -> tuple[str, int]:
    part = split_name(file)
    return (file, 1) if part is None else (part.stem, part.count)


def _by_file(name: HubName, files: list[str]) -> RepoModel:
    assert name.file is not None
    if name.file not in files:
        ggufs = [file for file in files if file.lower().endswith(".gguf")]
        raise HubError(f"{name.repo} has no file {name.file}; its GGUFs are {_listed(ggufs)}")
    stem, parts = _stem_and_parts(name.file)
    return RepoModel(tuple(sorted(file for file in files if _stem_and_parts(file) == (stem, parts))), parts)


def _by_quant(name: HubName, files: list[str]) -> RepoModel:
    found = models(files)
    if not found:
        raise HubError(_no_gguf(name.repo, files))
    if name.quant is not None:
        meant = matching(found, name.quant)
        if not meant:
            raise HubError(f"{name.repo} has no {name.quant}; it has {_listed([_label(model) for model in found])}")
        return meant[0]
    for quant in DEFAULT_QUANTS:
        if meant := matching(found, quant):
            return meant[0]
    return found[0]


def _no_gguf(repo: str, files: list[str]) -> str:
    checkpoint = [file for file in files if file.endswith((".safetensors", ".bin", ".pth"))]
    if checkpoint:
        return (
            f"{repo} has no GGUF, but a checkpoint ({checkpoint[0]}): download it (hf download {repo}) and make a GGUF "
            "of it (paddock convert), or take a repository that has one"
        )
    return f"{repo} has no GGUF" if files else f"{repo} is empty"


def _label(model: RepoModel) -> str:
    return model.quant or model.files[0]


def _listed(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "none"
