"""RoPE scaling: how many tokens a model's positions cover, and what llama.cpp is told to make that more.

llama.cpp takes what it is told without a word, also where that has no effect; so it is worked out here, from the
GGUF's metadata, what will come of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import llama_cpp.llama_cpp as C
from msgspec.structs import replace

from backends.context_size import padded
from backends.engine_options import RopeOptions

SCALINGS = {
    None: C.LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED,
    "none": C.LLAMA_ROPE_SCALING_TYPE_NONE,
    "linear": C.LLAMA_ROPE_SCALING_TYPE_LINEAR,
    "yarn": C.LLAMA_ROPE_SCALING_TYPE_YARN,
}


@dataclass(frozen=True)
class TrainedRope:
    """What a GGUF says of its positions."""

    n_ctx: int
    """Tokens that they cover."""
    scaling: str = "linear"
    scale: float = 1.0
    """How many times as many as without scaling."""
    original_ctx: int = 0
    """Without scaling, as YaRN counts."""
    rotates: bool = True
    """False: a model without RoPE, which nothing here concerns."""

    @classmethod
    def of(cls, metadata: Mapping[str, str], n_ctx_train: int, *, rotates: bool = True) -> TrainedRope:
        prefix = f"{metadata.get('general.architecture', '')}.rope"
        scaling = metadata.get(f"{prefix}.scaling.type", "linear")
        scale = float(metadata.get(f"{prefix}.scaling.factor") or metadata.get(f"{prefix}.scale_linear") or 1)
        original = int(metadata.get(f"{prefix}.scaling.original_context_length") or n_ctx_train)
        return cls(n_ctx_train, scaling, 1.0 if scaling == "none" or scale <= 0 else scale, original, rotates)


@dataclass(frozen=True)
class Rope:
    """What has been decided."""

    options: RopeOptions
    """For `set_params`."""
    reach: int
    """Tokens that positions cover: beyond, the model has never seen any."""
    notes: tuple[str, ...] = ()


def decide(wanted: RopeOptions, trained: TrainedRope, n_ctx: int) -> Rope:
    """How positions are encoded in a context of `n_ctx` tokens (0: as many as they cover)."""
    if not trained.rotates:
        given = wanted != RopeOptions()
        notes = ["this model doesn't encode positions by RoPE: --rope-… and --yarn-… have no effect"] if given else []
        if n_ctx > trained.n_ctx:
            notes.append(_too_long(n_ctx, trained.n_ctx))
        return Rope(RopeOptions(), trained.n_ctx, tuple(notes))
    scaling = wanted.scaling or trained.scaling
    original = trained.n_ctx / trained.scale
    if scaling == "yarn":
        original = wanted.yarn_orig_ctx or trained.original_ctx
    if scaling == "none":
        scale = 1.0
    elif wanted.freq_scale:
        scale = round(1 / wanted.freq_scale, 6)
    elif wanted.scaling is not None and trained.scale == 1 and n_ctx > original:
        scale = padded(n_ctx) / original
        wanted = replace(wanted, freq_scale=1 / scale)
    else:
        scale = trained.scale
    same_way = scaling == trained.scaling and wanted.yarn_orig_ctx in (0, trained.original_ctx)
    as_trained = scale == trained.scale and (scale == 1 or same_way)
    reach = trained.n_ctx if as_trained else round(original * scale)
    notes = _without_effect(wanted, scaling, scale)
    if wanted.freq_base:
        notes.append(f"RoPE: base frequency {wanted.freq_base:g}")
    if not as_trained:
        how = f"{scaling} scaling of {original:.0f} tokens by {scale:.4g}" if scale != 1 else "no scaling"
        notes.append(f"RoPE: {how}, which covers {reach}")
    if n_ctx > reach and not wanted.freq_base:  # what another base covers, nobody can tell
        if as_trained:
            advice = "--rope-scaling yarn, or linear, makes its positions cover it"
            notes.append(f"{_too_long(n_ctx, reach)}: {advice}")
        else:
            notes.append(
                f"context of {n_ctx} tokens is longer than the {reach} that positions cover: "
                f"--rope-scale {n_ctx / original:.4g} would do"
            )
    return Rope(wanted, reach, tuple(notes))


def _without_effect(wanted: RopeOptions, scaling: str, scale: float) -> list[str]:
    """What was asked for and comes to nothing."""
    notes = []
    if wanted.freq_scale and scaling == "none":
        notes.append("RoPE scaling is none: --rope-scale and --rope-freq-scale have no effect")
    if wanted.scaling in ("linear", "yarn") and scale == 1:
        notes.append(f"--rope-scaling {scaling} has no effect: neither -c nor --rope-scale asks for a longer context")
    extrapolates = wanted.yarn_ext_factor > 0 or (wanted.yarn_ext_factor < 0 and scaling == "yarn")
    if extrapolates and wanted.yarn_attn_factor >= 0:
        notes.append("--yarn-attn-factor has no effect: it follows from the scale, unless --yarn-ext-factor is 0")
    if not extrapolates and (wanted.yarn_orig_ctx or max(wanted.yarn_beta_slow, wanted.yarn_beta_fast) >= 0):
        why = "--yarn-ext-factor is 0" if scaling == "yarn" else "they are of --rope-scaling yarn"
        notes.append(f"--yarn-orig-ctx, --yarn-beta-slow and --yarn-beta-fast have no effect: {why}")
    return notes


def _too_long(n_ctx: int, reach: int) -> str:
    return f"context of {n_ctx} tokens is longer than the {reach} that the model was trained on"


def set_params(params: C.llama_context_params, options: RopeOptions) -> None:
    params.rope_scaling_type = SCALINGS[options.scaling]
    params.rope_freq_base = options.freq_base
    params.rope_freq_scale = options.freq_scale
    params.yarn_orig_ctx = options.yarn_orig_ctx
    params.yarn_ext_factor = options.yarn_ext_factor
    params.yarn_attn_factor = options.yarn_attn_factor
    params.yarn_beta_slow = options.yarn_beta_slow
    params.yarn_beta_fast = options.yarn_beta_fast
