"""Rotary position embeddings: how a configuration says that they are scaled, and how GGUF does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, RopeScalingType

from .errors import ConvertError


class _Parameters(msgspec.Struct):
    """Transformers' `rope_parameters`; before version 5, `rope_scaling` beside `rope_theta`."""

    rope_type: str | None = None
    type: str | None = None
    """`rope_type`'s former name."""
    rope_theta: float | None = None
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True
    partial_rotary_factor: float = 1.0


@dataclass(frozen=True)
class Rope:
    """Rotary embeddings of one model."""

    base: float = 10000.0
    kind: str = "default"
    """`default`, `linear`, `yarn` or `llama3`."""
    parameters: _Parameters = field(default_factory=_Parameters)

    def write(self, writer: GGUFWriter) -> None:
        writer.add_rope_freq_base(self.base)
        if self.kind not in ("linear", "yarn"):
            return
        asked = self.parameters
        factor = asked.factor or 1.0
        writer.add_rope_scaling_type(RopeScalingType(self.kind))
        writer.add_rope_scaling_factor(factor)
        if self.kind == "linear":
            return
        writer.add_rope_scaling_orig_ctx_len(asked.original_max_position_embeddings or 0)
        if asked.beta_fast is not None:
            writer.add_rope_scaling_yarn_beta_fast(asked.beta_fast)
        if asked.beta_slow is not None:
            writer.add_rope_scaling_yarn_beta_slow(asked.beta_slow)
        # llama.cpp scales attention by YaRN's own rule, times this.
        writer.add_rope_scaling_attn_factors(_attention_factor(asked, factor) / _magnitude(factor))

    @property
    def notes(self) -> list[str]:
        fast, slow = self.parameters.beta_fast or 32.0, self.parameters.beta_slow or 1.0
        if self.kind != "yarn" or (fast, slow) == (32.0, 1.0):
            return []
        return [
            "llama.cpp doesn't read YaRN's betas from this architecture's files: it must be told when the model is "
            f"loaded (beta_fast {fast:g}, beta_slow {slow:g})"
        ]

    def frequency_factors(self, head_dim: int) -> npt.NDArray[np.float32] | None:
        """What each of Llama 3.1's frequencies is divided by: long waves are stretched, short ones kept, and those
        between are blended."""
        if self.kind != "llama3":
            return None
        asked = self.parameters
        factor, low, high = asked.factor or 8.0, asked.low_freq_factor or 1.0, asked.high_freq_factor or 4.0
        wavelengths = 2 * np.pi * self.base ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
        waves = (asked.original_max_position_embeddings or 8192) / wavelengths
        kept = np.clip((waves - low) / (high - low), 0, 1)
        return (1 / (kept + (1 - kept) / factor)).astype(np.float32)


def read_rope(parameters: Mapping[str, Any] | None, theta: float | None, n_ctx: int) -> Rope:
    """A model's rotary embeddings, from its configuration. Raises ConvertError, where llama.cpp has no such kind."""
    try:
        asked = msgspec.convert(parameters or {}, _Parameters)
    except msgspec.ValidationError as error:
        raise ConvertError(f"config.json: its RoPE parameters are wrong: {error}") from None
    kind = (asked.rope_type or asked.type or "default").lower()
    if kind not in ("default", "linear", "yarn", "llama3"):
        raise ConvertError(f"config.json asks for {kind!r} RoPE scaling, which this command can't convert")
    if kind != "default" and not (asked.factor and asked.factor > 0):
        raise ConvertError(f"config.json asks for {kind} RoPE scaling and names no factor")
    if kind == "llama3" and (asked.low_freq_factor or 1.0) >= (asked.high_freq_factor or 4.0):
        raise ConvertError("config.json: RoPE's low_freq_factor must be below its high_freq_factor")
    if asked.partial_rotary_factor != 1.0:
        raise ConvertError("config.json asks for a partial_rotary_factor, which llama.cpp lacks for this architecture")
    if not asked.truncate:
        raise ConvertError("config.json asks for YaRN without truncation, which llama.cpp lacks")
    if kind == "yarn" and asked.original_max_position_embeddings is None:
        asked.original_max_position_embeddings = n_ctx
    return Rope(asked.rope_theta or theta or 10000.0, kind, asked)


def _attention_factor(asked: _Parameters, factor: float) -> float:
    """By how much Transformers scales attention under YaRN."""
    if asked.attention_factor is not None:
        return asked.attention_factor
    if asked.mscale and asked.mscale_all_dim:
        return _magnitude(factor, asked.mscale) / _magnitude(factor, asked.mscale_all_dim)
    return _magnitude(factor)


def _magnitude(factor: float, mscale: float = 1.0) -> float:
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0
