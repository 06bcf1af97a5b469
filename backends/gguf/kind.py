"""What kind of thing a GGUF is: not each is a model."""

from __future__ import annotations

from typing import Literal

from .header import Header

Kind = Literal["model", "adapter", "control vector", "projector", "imatrix", "vocabulary"]
IN_WORDS: dict[Kind, str] = {
    "model": "a model",
    "adapter": "a LoRA adapter",
    "control vector": "a control vector",
    "projector": "a multimodal projector (mmproj)",
    "imatrix": "an importance matrix",
    "vocabulary": "a vocabulary without weights",
}


def kind_of(header: Header) -> Kind:
    """By what the header says of itself, else by what it lacks."""
    match header.text("general.type"), header.architecture:
        case "adapter", _:
            return "adapter"
        case _, "controlvector":
            return "control vector"
        case ("mmproj" | "clip-vision", _) | (_, "clip"):
            return "projector"
        case "imatrix", _:
            return "imatrix"
    if not header.tensors and (header.integer("split.count") or 1) == 1:
        return "vocabulary"
    return "model"
