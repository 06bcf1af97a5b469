"""What of the model goes to which device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from .setting import Natural, flag, layers

GROUP = "GPU"
EVERY_LAYER = 512
"""At least as many as any model has."""


def _shares(text: str) -> tuple[float, ...]:
    shares = tuple(float(part) for part in text.replace("/", ",").split(","))
    if not all(share >= 0 and math.isfinite(share) for share in shares):
        raise ValueError(text)
    return shares


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or ("none" in names and len(names) > 1):
        raise ValueError(text)
    return names


def _overrides(text: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple(part.partition("=") for part in text.split(","))
    if not all(pattern and buffer for pattern, _, buffer in pairs):
        raise ValueError(text)
    return tuple((pattern, buffer) for pattern, _, buffer in pairs)


@dataclass(frozen=True, kw_only=True)
class GPUSettings:
    gpu_layers: Annotated[
        int,
        Meta(ge=-2),
        flag(
            "-ngl --gpu-layers --n-gpu-layers",
            GROUP,
            "layers kept in GPU memory: a number, all, or auto for as many as fit beside the context",
            parse=layers,
            expects="a whole number, auto or all",
            default_text="auto",
        ),
    ] = -1
    device: Annotated[
        tuple[str, ...],
        flag(
            "-dev --device",
            GROUP,
            "the devices that layers may go to, by their names in `paddock devices`; none: the CPU computes everything",
            metavar="NAMES",
            parse=_names,
            separator=",",
            expects="names separated by commas, or none",
            default_text="every GPU",
        ),
    ] = ()
    split_mode: Annotated[
        Literal["none", "layer", "row", "tensor"],
        flag("-sm --split-mode", GROUP, "how GPUs share the model: none (one GPU), layer, row, tensor", metavar="MODE"),
    ] = "layer"
    main_gpu: Annotated[
        int,
        Natural,
        flag("-mg --main-gpu", GROUP, "the GPU of --split-mode none, and of what row leaves whole", metavar="INDEX"),
    ] = 0
    tensor_split: Annotated[
        tuple[float, ...],
        flag(
            "-ts --tensor-split",
            GROUP,
            "each GPU's share of the model, as 3,1",
            metavar="SHARES",
            parse=_shares,
            separator=",",
            expects="numbers separated by commas",
            default_text="by free memory",
        ),
    ] = ()
    override_tensor: Annotated[
        tuple[tuple[str, str], ...],
        flag(
            "-ot --override-tensor",
            GROUP,
            "buffers for tensors whose names match a pattern, whatever else is said: `ffn_.*_exps=CPU`, "
            "several separated by commas",
            metavar="PATTERN=BUFFER",
            parse=_overrides,
            separator=",",
            repeatable=True,
            expects="PATTERN=BUFFER, several separated by commas",
            default_text="none",
        ),
    ] = ()
    n_cpu_moe: Annotated[
        Annotated[int, Natural] | None,
        flag(
            "-ncmoe --n-cpu-moe",
            GROUP,
            "layers, from the first, whose experts (of a mixture of experts) stay in RAM",
            shorthands=dict.fromkeys(("-cmoe", "--cpu-moe"), str(EVERY_LAYER)),
            default_text="as few as fit",
        ),
    ] = None
    kv_offload: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "the KV cache of layers on GPUs is there too, or (--no-kv-offload) in RAM",
            default_text="on",
            shorthands={"--kv-offload": "true", "-kvo": "true", "--no-kv-offload": "false", "-nkvo": "false"},
        ),
    ] = True
    op_offload: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "GPUs compute large batches for layers in RAM too, or (--no-op-offload) nothing for them",
            default_text="on",
            shorthands={"--op-offload": "true", "--no-op-offload": "false"},
        ),
    ] = True
