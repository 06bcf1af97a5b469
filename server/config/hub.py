"""How models are got from the Hugging Face Hub."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from server.hub.name import HubAccess, token

from .setting import flag

GROUP = "Hugging Face Hub"


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    hf_file: Annotated[
        str | None,
        flag(
            "-hff --hf-file",
            GROUP,
            "the GGUF of the repository to serve, by its path there, whatever quantization its name says",
            metavar="FILE",
            default_text="Q4_K_M, else Q8_0, else the first",
        ),
    ] = None
    hf_token: Annotated[
        str | None,
        flag(
            "-hft --hf-token",
            GROUP,
            "for gated and private repositories. Other users of the machine can see it: rather use $HF_TOKEN",
            metavar="TOKEN",
            parse=token,
            secret=True,
            expects="visible ASCII characters",
            default_text="$HF_TOKEN, else that of `hf auth login`",
        ),
    ] = dataclasses.field(default=None, repr=False)
    offline: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "ask nothing of the Hub: take models from its cache on this machine only, as with $HF_HUB_OFFLINE",
            shorthands={"--offline": "true"},
            default_text="off",
        ),
    ] = False

    def hub_access(self) -> HubAccess:
        return HubAccess(self.hf_token, self.offline)
