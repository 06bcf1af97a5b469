"""Where the server listens, and how long a request may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from .setting import flag

GROUP = "HTTP"


@dataclass(frozen=True, kw_only=True)
class HTTPSettings:
    host: Annotated[str, flag("--host", GROUP, "the address to listen at; 0.0.0.0: all", metavar="ADDRESS")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535), flag("--port", GROUP, "0: a free one, said at the start")] = 8000
    timeout: Annotated[
        float,
        Meta(gt=0),
        flag("-to --timeout", GROUP, "after so many seconds a request is given up (504)", metavar="SECONDS"),
    ] = 3600.0
