"""Which other machines compute a part of the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from .setting import flag

GROUP = "Other machines"

WORKER = re.compile(r"[^:\s]+:(\d{1,5})")


def workers(text: str) -> tuple[str, ...]:
    named = tuple(part.strip() for part in text.split(",") if part.strip())
    for worker in named:
        found = WORKER.fullmatch(worker)
        if found is None or not 1 <= int(found[1]) <= 65535:
            raise ValueError(worker)
    return named


@dataclass(frozen=True, kw_only=True)
class RPCSettings:
    rpc: Annotated[
        tuple[str, ...],
        flag(
            "--rpc",
            GROUP,
            "workers (paddock rpc-worker) whose memory and processors are used as if they were GPUs of this machine",
            metavar="HOST:PORT,…",
            parse=workers,
            separator=",",
            expects="HOST:PORT, several separated by commas",
            default_text="none",
        ),
    ] = ()
