"""llama-server's `generation_settings`: how a completion was, or by default would be, generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backends.base import RANDOM_SEED, SamplingParams
from server.schemas.native import NativeOptions


def sampler_settings(sampling: SamplingParams) -> dict[str, Any]:
    """The sampling fields under llama-server's names."""
    return {
        "seed": RANDOM_SEED if sampling.seed is None else sampling.seed,
        "temperature": sampling.temperature,
        "dynatemp_range": sampling.dynatemp_range,
        "dynatemp_exponent": sampling.dynatemp_exponent,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "tfs_z": sampling.tfs_z,
        "top_n_sigma": sampling.top_n_sigma,
        "xtc_probability": sampling.xtc_probability,
        "xtc_threshold": sampling.xtc_threshold,
        "typical_p": sampling.typical_p,
        "repeat_last_n": sampling.repeat_last_n,
        "repeat_penalty": sampling.repeat_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "dry_multiplier": sampling.dry_multiplier,
        "dry_base": sampling.dry_base,
        "dry_allowed_length": sampling.dry_allowed_length,
        "dry_penalty_last_n": sampling.dry_penalty_last_n,
        "dry_sequence_breakers": list(sampling.dry_sequence_breakers),
        "mirostat": sampling.mirostat,
        "mirostat_tau": sampling.mirostat_tau,
        "mirostat_eta": sampling.mirostat_eta,
        "adaptive_target": sampling.adaptive_target,
        "adaptive_decay": sampling.adaptive_decay,
        "min_keep": sampling.min_keep,
        "min_tokens": sampling.min_tokens,
        "ignore_eos": sampling.ignore_eos,
        "samplers": list(sampling.samplers),
        "logit_bias": [
            {"token": token, "bias": None if math.isinf(bias) else bias} for token, bias in sampling.logit_bias.items()
        ],
    }


def request_settings(request: NativeOptions, sampling: SamplingParams, drafters: Sequence[str]) -> dict[str, Any]:
    """Everything that the request could set. What this server has none of shows as switched off."""
    limit = -1 if request.limit is None else request.limit
    return {
        **sampler_settings(sampling),
        "stop": request.stop_strings,
        "max_tokens": limit,
        "n_predict": limit,
        "n_keep": request.n_keep or 0,
        "n_discard": request.n_discard or 0,
        "n_indent": request.n_indent or 0,
        "t_max_predict_ms": request.t_max_predict_ms or 0,
        "stream": bool(request.stream),
        "n_probs": request.probabilities,
        "timings_per_token": bool(request.timings_per_token),
        "cache_prompt": request.cache_prompt is not False,
        "lora": [{"id": each.id, "scale": each.scale} for each in request.lora or ()],
        "speculative.types": ",".join(drafters) or "none",
        **_ABSENT,
        "grammar": request.grammar or "",
    }


_ABSENT: dict[str, Any] = {
    "grammar_lazy": False,
    "grammar_triggers": [],
    "preserved_tokens": [],
    "chat_format": "Content-only",
    "reasoning_format": "none",
    "reasoning_in_content": False,
    "generation_prompt": "",
    "post_sampling_probs": False,
    "backend_sampling": False,
}
