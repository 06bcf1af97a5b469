"""Whether requests are traced: decided by settings and OpenTelemetry's variables, before anything of it is imported."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.spans import Spans

log = logging.getLogger("paddock")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class TracingUnavailable(Exception):
    """Traces were asked for, and can't be had; the message is one line."""


def start_tracing(endpoint: str | None, environment: Mapping[str, str] = os.environ) -> Spans | None:
    """What makes spans of requests; None: nobody wants them.

    `endpoint` is the flag's: with it, what stands in the way is a TracingUnavailable. Variables may be set for every
    program of a cluster: with them it is a warning.
    """
    if endpoint is None and not _wanted(environment):
        return None
    try:
        if endpoint is None and _protocol(environment) == "grpc":
            raise TracingUnavailable("traces are sent over HTTP only: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
        return _spans(endpoint)
    except TracingUnavailable as error:
        if endpoint is not None:
            raise
        log.warning("no traces: %s", error)
        return None


def _wanted(environment: Mapping[str, str]) -> bool:
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter not in ("", "otlp"):
        return False
    return exporter == "otlp" or any(environment.get(name) for name in _ENDPOINTS)


def _protocol(environment: Mapping[str, str]) -> str | None:
    return next((environment[name] for name in _PROTOCOLS if environment.get(name)), None)


def _spans(endpoint: str | None) -> Spans:
    try:
        from server.spans import Spans, exporting  # a third of a second, for those who want it
    except ModuleNotFoundError:
        raise TracingUnavailable("OpenTelemetry is not installed: pip install 'paddock[otel]'") from None
    return Spans(exporting(endpoint))
