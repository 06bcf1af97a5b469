"""What is logged, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .setting import flag

GROUP = "Logs and traces"
VERBOSE_SHORTHANDS = {"-v": "debug", "--verbose": "debug"}


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        flag(
            "--log-level",
            GROUP,
            "debug, info, warning or error. info has a line per request, warning only those of requests that the "
            "server failed; debug adds llama.cpp's own lines",
            metavar="LEVEL",
            shorthands=VERBOSE_SHORTHANDS,
        ),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"],
        flag("--log-format", GROUP, "text for people, or json: an object per line", metavar="text|json"),
    ] = "text"
    log_prompts: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "log what is asked: each request's prompts, and what exceptions say. Without it no prompt gets into a log",
            shorthands={"--log-prompts": "true"},
            default_text="off",
        ),
    ] = False
    otlp_traces_endpoint: Annotated[
        str | None,
        flag(
            "--otlp-traces-endpoint",
            GROUP,
            "send OpenTelemetry traces there, over HTTP, as http://127.0.0.1:4318/v1/traces; needs paddock[otel]",
            metavar="URL",
            default_text="as the OTEL_ variables say, else nowhere",
        ),
    ] = None
