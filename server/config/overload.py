"""What the server takes on at most, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from .setting import flag

GROUP = "Overload and shutdown"


@dataclass(frozen=True, kw_only=True)
class OverloadSettings:
    max_queue: Annotated[
        int,
        Meta(ge=-1),
        flag(
            "--max-queue",
            GROUP,
            "sequences that may wait while --parallel others are computed; further requests get a 429. "
            "0: none waits; -1: no limit",
        ),
    ] = 256
    max_connections: Annotated[
        int,
        Meta(ge=1),
        flag(
            "--max-connections",
            GROUP,
            "open connections; one more closes the one that has been idle for longest, or is answered with a 503",
        ),
    ] = 2048
    write_timeout: Annotated[
        float,
        Meta(gt=0),
        flag(
            "--write-timeout",
            GROUP,
            "a client that takes nothing of its answer for so long is cut off, and its request cancelled",
            metavar="SECONDS",
        ),
    ] = 60.0
    drain_delay: Annotated[
        float,
        Meta(ge=0),
        flag(
            "--drain-delay",
            GROUP,
            "after SIGTERM new requests are still served for so long, while /health says 503: what load balancers need "
            "to notice it",
            metavar="SECONDS",
        ),
    ] = 0.0
    drain_timeout: Annotated[
        float,
        Meta(ge=0),
        flag(
            "--drain-timeout",
            GROUP,
            "what running requests get after that to finish in; then they are cut with an error",
            metavar="SECONDS",
        ),
    ] = 30.0
