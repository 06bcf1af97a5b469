"""Name, licence and the like of a model, and the sampling settings that it wishes."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import gguf
import msgspec

from .errors import read_json_if_there


def read_metadata(folder: Path, model_name: str | None, n_parameters: int) -> tuple[gguf.Metadata, list[str]]:
    """From the model card and `generation_config.json`, as far as they make sense; notes on what doesn't."""
    notes = []
    try:
        found = gguf.Metadata.load(None, folder, model_name, n_parameters)
    except Exception as error:  # the card is YAML, written by hand
        notes.append(f"README.md's header is left out: it makes no sense ({type(error).__name__})")
        found = gguf.Metadata()
    if found.sampling_penalty_repeat is None:  # the library knows llama.cpp's name for it only
        settings = read_json_if_there(folder / "generation_config.json")
        found.sampling_penalty_repeat = settings.get("repetition_penalty")
    for name, kind in get_type_hints(gguf.Metadata).items():
        try:
            msgspec.convert(getattr(found, name), kind)
        except msgspec.ValidationError:
            setattr(found, name, None)
    found.name = model_name or found.name or folder.resolve().name
    found.size_label = found.size_label or gguf.size_label(n_parameters, n_parameters, 0, 0)
    return found, notes
