"""Whether the model fits this machine's memory, and how it lies there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .setting import Positive, flag

GROUP = "Memory"


def _margins(text: str) -> tuple[int, ...]:
    margins = tuple(int(part) for part in text.replace("/", ",").split(","))
    if min(margins) < 0:
        raise ValueError(text)
    return margins


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    fit: Annotated[
        bool,
        flag(
            "-fit --fit",
            GROUP,
            "layers on GPUs and the context, where not given, are chosen to fit memory; what can't fit is refused",
            metavar="on|off",
            default_text="on",
        ),
    ] = True
    fit_target: Annotated[
        tuple[int, ...],
        flag(
            "-fitt --fit-target",
            GROUP,
            "memory that is left free on each GPU, one number or one for each",
            metavar="MiB",
            parse=_margins,
            separator=",",
            expects="whole numbers separated by commas",
            default_text="1024",
        ),
    ] = (1024,)
    fit_ctx: Annotated[
        int,
        Positive,
        flag("-fitc --fit-ctx", GROUP, "rather than that the context gets shorter than this, layers leave the GPU"),
    ] = 4096
    repack: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "weights in RAM are laid out anew for this processor, which is faster, or (--no-repack) left in the file",
            default_text="on",
            shorthands={"--repack": "true", "-nr": "false", "--no-repack": "false"},
        ),
    ] = True
    check_tensors: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "look through the weights for values that are no numbers, before serving",
            default_text="off",
            shorthands={"--check-tensors": "true"},
        ),
    ] = False
    numa: Annotated[
        Literal["distribute", "isolate", "numactl"] | None,
        flag(
            "--numa",
            GROUP,
            "with several memory nodes: distribute the threads over all, isolate them on one, or go by numactl",
            metavar="MODE",
            default_text="none of these",
        ),
    ] = None
