"""What of the model goes to which GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .setting import Natural, flag, layers

GROUP = "GPU"


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.replace("/", ",").split(","))


@dataclass(frozen=True, kw_only=True)
class GPUSettings:
    gpu_layers: Annotated[
        int,
        flag(
            "-ngl --gpu-layers --n-gpu-layers",
            GROUP,
            "layers kept in GPU memory: a number, or auto or all for every one",
            parse=layers,
            expects="a whole number, auto or all",
            default_text="auto",
        ),
    ] = -1
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
