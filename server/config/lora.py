"""LoRA adapters: for every request, and under names of their own."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from .setting import flag

GROUP = "LoRA adapters"


class LoraModule(NamedTuple):
    """An adapter that is served under a name of its own."""

    name: str
    path: str
    base_model_name: str | None = None
    """The model that it is for, where there are several; None: that whose settings these are."""


class LoraFile(NamedTuple):
    """An adapter of one model."""

    path: Path
    scale: float
    """With which it is applied to every request."""
    name: str | None = None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _files(text: str) -> tuple[str, ...]:
    return tuple(_parts(text))


def _scaled_files(text: str) -> tuple[tuple[str, float], ...]:
    return tuple(_scaled(part) for part in _parts(text))


def _scaled(text: str) -> tuple[str, float]:
    path, _, scale = text.rpartition(":")
    if not path or not math.isfinite(float(scale)):
        raise ValueError(text)
    return path, float(scale)


def _modules(text: str) -> tuple[LoraModule, ...]:
    if text.lstrip().startswith(("{", "[")):
        entries = json.loads(text)
        return tuple(_module(entry) for entry in (entries if isinstance(entries, list) else [entries]))
    modules = []
    for part in _parts(text):
        name, _, path = part.partition("=")
        modules.append(_module({"name": name, "path": path}))
    return tuple(modules)


def _module(entry: Any) -> LoraModule:
    if not isinstance(entry, dict) or set(entry) - {"name", "path", "base_model_name"}:
        raise ValueError(entry)
    name, path, base_model_name = entry.get("name"), entry.get("path"), entry.get("base_model_name")
    if not (isinstance(name, str) and name and isinstance(path, str) and path):
        raise ValueError(entry)
    if not isinstance(base_model_name, str | None):
        raise ValueError(entry)
    return LoraModule(name, path, base_model_name)


def _path(path: str) -> Path:
    return Path(path).expanduser()


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    lora: Annotated[
        tuple[str, ...],
        flag(
            "--lora",
            GROUP,
            "LoRA adapters (GGUF) that are applied to every request, separated by commas",
            metavar="FILES",
            parse=_files,
            separator=",",
            expects="files separated by commas",
            repeatable=True,
            default_text="none",
        ),
    ] = ()
    lora_scaled: Annotated[
        tuple[tuple[str, float], ...],
        flag(
            "--lora-scaled",
            GROUP,
            "the same, each with its scale",
            metavar="FILE:SCALE,...",
            parse=_scaled_files,
            separator=",",
            expects="FILE:SCALE, several separated by commas",
            repeatable=True,
            default_text="none",
        ),
    ] = ()
    lora_init_without_apply: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "load them with the scale 0: POST /lora-adapters or a request's `lora` gives them another",
            shorthands={"--lora-init-without-apply": "true"},
            default_text="off",
        ),
    ] = False
    lora_modules: Annotated[
        tuple[LoraModule, ...],
        flag(
            "--lora-modules",
            GROUP,
            "LoRA adapters that are served as models of their own: NAME=FILE, separated by commas, or JSON as "
            '{"name": "...", "path": "...", "base_model_name": "..."}',
            metavar="NAME=FILE",
            parse=_modules,
            expects="NAME=FILE, several separated by commas; or JSON with name and path",
            repeatable=True,
            default_text="none",
        ),
    ] = ()
    lora_dir: Annotated[
        str | None,
        flag(
            "--lora-dir",
            GROUP,
            "let POST /v1/load_lora_adapter load adapters from this folder",
            metavar="DIR",
            default_text="none: no adapter is loaded over HTTP",
        ),
    ] = None

    def lora_files(self, names: tuple[str, ...]) -> tuple[LoraFile, ...]:
        """The adapters of the model that has these names: all but those that are for another."""
        scaled = [*((path, 1.0) for path in self.lora), *self.lora_scaled]
        everywhere = [LoraFile(_path(path), 0.0 if self.lora_init_without_apply else scale) for path, scale in scaled]
        named = [
            LoraFile(_path(module.path), 0.0, module.name)
            for module in self.lora_modules
            if module.base_model_name in (None, *names)
        ]
        return (*everywhere, *named)
