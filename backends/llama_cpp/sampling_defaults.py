"""A GGUF's own sampling settings: `general.sampling.*` in its metadata, over llama.cpp's defaults."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backends.base import SAMPLER_NAMES, SamplingParams

from .sampling.limits import LIMITS

FIELDS: dict[str, str] = {
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "temp": "temperature",
    "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repeat_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}
"""llama.cpp's keys after `general.sampling.`, and the parameter each sets."""


def sampling_defaults(metadata: Mapping[str, str]) -> SamplingParams:
    """llama.cpp's defaults with the GGUF's wishes applied; a value that makes no sense is ignored."""
    wishes: dict[str, object] = {}
    for key, field in FIELDS.items():
        text = metadata.get(f"general.sampling.{key}")
        if text is not None and _sensible(field, text):
            wishes[field] = text
    if order := metadata.get("general.sampling.sequence"):
        wishes["samplers"] = tuple(SAMPLER_NAMES[name] for name in order.split(";") if name in SAMPLER_NAMES)
    return msgspec.convert(wishes, SamplingParams, strict=False)


def _sensible(field: str, text: str) -> bool:
    low, high = LIMITS[field]
    try:
        msgspec.convert({field: text}, SamplingParams, strict=False)
        return low <= float(text) <= high
    except ValueError:  # msgspec.ValidationError is one
        return False
