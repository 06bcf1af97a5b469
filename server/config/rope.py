"""Contexts longer than the model was trained on: how its positions are scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from backends.engine_options import RopeOptions, RopeScaling

from .setting import Natural, flag

GROUP = "Longer contexts (RoPE scaling)"

NotNegative = Annotated[float, Meta(ge=0)]
Factor = Annotated[float, Meta(ge=-1)]


@dataclass(frozen=True, kw_only=True)
class RopeSettings:
    rope_scaling: Annotated[
        RopeScaling | None,
        flag(
            "--rope-scaling",
            GROUP,
            "how positions are scaled: none, linear or yarn",
            metavar="none|linear|yarn",
            default_text="as the model says, else linear",
        ),
    ] = None
    rope_scale: Annotated[
        NotNegative,
        flag(
            "--rope-scale",
            GROUP,
            "how many times longer the context gets",
            default_text="the model's own; with --rope-scaling, what -c needs",
        ),
    ] = 0.0
    rope_freq_scale: Annotated[
        NotNegative,
        flag(
            "--rope-freq-scale",
            GROUP,
            "what positions are multiplied by: 1 over --rope-scale",
            default_text="the model's own",
        ),
    ] = 0.0
    rope_freq_base: Annotated[
        NotNegative,
        flag("--rope-freq-base", GROUP, "RoPE's base frequency (NTK-aware scaling)", default_text="the model's own"),
    ] = 0.0
    yarn_orig_ctx: Annotated[
        int,
        Natural,
        flag(
            "--yarn-orig-ctx",
            GROUP,
            "YaRN: the context that the model was trained on before any scaling",
            default_text="the model's own",
        ),
    ] = 0
    yarn_ext_factor: Annotated[
        Factor,
        flag(
            "--yarn-ext-factor",
            GROUP,
            "YaRN: how much high frequencies are left alone; 0: scaled as all others; -1: the default",
            default_text="the model's own, else 1 with yarn, 0 without",
        ),
    ] = -1.0
    yarn_attn_factor: Annotated[
        Factor,
        flag(
            "--yarn-attn-factor",
            GROUP,
            "YaRN: what queries and keys are multiplied by, where --yarn-ext-factor is 0; -1: the default",
            default_text="the model's own, else 1",
        ),
    ] = -1.0
    yarn_beta_slow: Annotated[
        Factor,
        flag(
            "--yarn-beta-slow",
            GROUP,
            "YaRN: frequencies that turn fewer times than this in the original context are scaled in full; "
            "-1: the default",
            default_text="the model's own, else 1",
        ),
    ] = -1.0
    yarn_beta_fast: Annotated[
        Factor,
        flag(
            "--yarn-beta-fast",
            GROUP,
            "YaRN: frequencies that turn more often than this are left alone; -1: the default",
            default_text="the model's own, else 32",
        ),
    ] = -1.0

    def rope_options(self) -> RopeOptions:
        return RopeOptions(
            scaling=self.rope_scaling,
            freq_base=self.rope_freq_base,
            freq_scale=1 / self.rope_scale if self.rope_scale else self.rope_freq_scale,
            yarn_orig_ctx=self.yarn_orig_ctx,
            yarn_ext_factor=self.yarn_ext_factor,
            yarn_attn_factor=self.yarn_attn_factor,
            yarn_beta_slow=self.yarn_beta_slow,
            yarn_beta_fast=self.yarn_beta_fast,
        )
