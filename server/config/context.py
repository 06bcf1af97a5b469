"""The context that requests share, and how they are batched in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from msgspec import Meta

from .setting import Natural, Positive, Threads, flag

GROUP = "Context and batching"

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]


@dataclass(frozen=True, kw_only=True)
class ContextSettings:
    ctx_size: Annotated[
        int,
        Natural,
        flag(
            "-c --ctx-size",
            GROUP,
            "tokens of context, a pool that all requests share; 0: the model's own, reduced to fit memory",
        ),
    ] = 0
    parallel: Annotated[
        int,
        Meta(ge=1, le=128),
        flag("-np --parallel", GROUP, "sequences computed together; further ones wait"),
    ] = 16
    batch_size: Annotated[int, Positive, flag("-b --batch-size", GROUP, "tokens a step may have")] = 2048
    ubatch_size: Annotated[int, Positive, flag("-ub --ubatch-size", GROUP, "tokens computed at once")] = 512
    step_budget: Annotated[
        float,
        Meta(gt=0),
        flag(
            "--step-budget",
            GROUP,
            "milliseconds that a step may take while prompts are computed beside running streams: less for smoother "
            "streams, more for prompts that start sooner",
            metavar="MS",
        ),
    ] = 500.0
    threads: Annotated[
        Threads,
        flag("-t --threads", GROUP, "threads that compute", default_text="the physical cores"),
    ] = -1
    threads_batch: Annotated[
        Threads,
        flag("-tb --threads-batch", GROUP, "threads that compute prompts", default_text="as --threads"),
    ] = -1
    cache_type_k: Annotated[
        CacheType,
        flag(
            "-ctk --cache-type-k",
            GROUP,
            f"type of the KV cache's keys: {', '.join(get_args(CacheType))}",
            metavar="TYPE",
        ),
    ] = "f16"
    cache_type_v: Annotated[
        CacheType,
        flag("-ctv --cache-type-v", GROUP, "type of its values: the same", metavar="TYPE"),
    ] = "f16"
    flash_attn: Annotated[
        Literal["on", "off", "auto"],
        flag("-fa --flash-attn", GROUP, "flash attention", metavar="on|off|auto"),
    ] = "auto"
    cache_ram: Annotated[
        int,
        Meta(ge=-1),
        flag(
            "-cram --cache-ram",
            GROUP,
            "MiB of RAM for prompts that have left the KV cache; 0: none; -1: no limit",
            metavar="MiB",
        ),
    ] = 8192
