"""Speculative decoding: what is drafted from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from backends.base import DRAFTERS, Drafter

from .setting import Natural, Threads, flag, layers

GROUP = "Speculative decoding"


def _drafters(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if set(names) - {*DRAFTERS, "none"} or ("none" in names and len(names) > 1):
        raise ValueError(text)
    return () if names == ("none",) else names


@dataclass(frozen=True, kw_only=True)
class SpeculationSettings:
    spec_type: Annotated[
        tuple[Drafter, ...],
        flag(
            "--spec-type",
            GROUP,
            "where to draft from, as long as it pays: draft-simple (the draft model), ngram-simple (what the text "
            "repeats of itself); none: nowhere, requests' predictions included",
            metavar="NAMES",
            parse=_drafters,
            separator=",",
            expects=f"names separated by commas, of {', '.join(DRAFTERS)}; or none",
            default_text=",".join(DRAFTERS),
        ),
    ] = DRAFTERS
    model_draft: Annotated[
        str | None,
        flag(
            "-md --model-draft --spec-draft-model",
            GROUP,
            "the draft model's GGUF: a small model with the same vocabulary",
            metavar="FILE",
            default_text="none",
        ),
    ] = None
    spec_draft_n_max: Annotated[
        int,
        Meta(ge=1, le=48),
        flag("--spec-draft-n-max", GROUP, "tokens that it drafts at a time, at most"),
    ] = 16
    spec_draft_n_min: Annotated[
        int,
        Natural,
        flag("--spec-draft-n-min", GROUP, "shorter drafts of it aren't used"),
    ] = 0
    spec_draft_p_min: Annotated[
        float,
        Meta(ge=0, le=1),
        flag("--spec-draft-p-min --draft-p-min", GROUP, "it stops at a token less probable than this"),
    ] = 0.0
    gpu_layers_draft: Annotated[
        int,
        flag(
            "-ngld --gpu-layers-draft --n-gpu-layers-draft --spec-draft-ngl",
            GROUP,
            "its layers kept in GPU memory: a number, or auto or all for every one",
            parse=layers,
            expects="a whole number, auto or all",
            default_text="auto",
        ),
    ] = -1
    threads_draft: Annotated[
        Threads,
        flag(
            "-td --threads-draft --spec-draft-threads",
            GROUP,
            "threads that compute it",
            default_text="as --threads",
        ),
    ] = -1
