"""How far each sampling parameter can go: beyond, llama.cpp computes infinities, overflows integers or aborts.

The server refuses what makes no sense; these bounds are wider, and only keep the engine alive whoever calls it.
`docs/samplers.md` repeats the table (a test compares them).
"""

from __future__ import annotations

import math

import msgspec

from backends.base import SamplingParams

MAX_SAMPLERS = 64
MAX_BREAKERS = 64
MAX_INT = 2**31 - 1

LIMITS: dict[str, tuple[float, float]] = {
    "temperature": (-1e6, 1e6),
    "dynatemp_range": (0.0, 1e6),
    "dynatemp_exponent": (0.0, 1e3),
    "top_k": (-1, MAX_INT),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "tfs_z": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "top_n_sigma": (-1.0, 1e6),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "mirostat": (0, 2),
    "mirostat_tau": (0.0, 1e3),
    "mirostat_eta": (0.0, 1e3),
    "repeat_penalty": (1e-3, 1e3),
    "repeat_last_n": (-1, MAX_INT),
    "presence_penalty": (-1e3, 1e3),
    "frequency_penalty": (-1e3, 1e3),
    "dry_multiplier": (0.0, 1e3),
    "dry_base": (0.0, 1e3),
    "dry_allowed_length": (0, MAX_INT),
    "dry_penalty_last_n": (-1, MAX_INT),
    "adaptive_target": (-1.0, 1.0),
    "adaptive_decay": (0.0, 0.99),
    "min_keep": (0, MAX_INT),
    "min_tokens": (0, MAX_INT),
}
"""Field → lowest and highest value, both allowed."""


def bounded(params: SamplingParams, n_vocab: int) -> SamplingParams:
    """The same with every number moved into its limits. Raises ValueError, naming the field, for what has no meaning:
    NaN, a bias for a token that there is not, or more samplers or sequence breakers than are sensible."""
    changes: dict[str, float] = {}
    for field, (low, high) in LIMITS.items():
        value = getattr(params, field)
        if math.isnan(value):
            raise ValueError(f"{field} is not a number")
        if not low <= value <= high:
            changes[field] = min(max(value, low), high)
    if len(params.samplers) > MAX_SAMPLERS:
        raise ValueError(f"samplers: at most {MAX_SAMPLERS}")
    if len(params.dry_sequence_breakers) > MAX_BREAKERS:
        raise ValueError(f"dry_sequence_breakers: at most {MAX_BREAKERS}")
    for token, bias in params.logit_bias.items():
        if not 0 <= token < n_vocab:
            raise ValueError(f"logit_bias: there is no token {token}; ids go from 0 to {n_vocab - 1}")
        if math.isnan(bias):
            raise ValueError(f"logit_bias: the bias of token {token} is not a number")
    return msgspec.structs.replace(params, **changes) if changes else params
