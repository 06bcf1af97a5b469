"""A line in the log for each request, when its answer has ended."""

from __future__ import annotations

import logging
import time
from typing import Any
from urllib.parse import quote

from starlette.types import Scope

from server.draining import WATCHER_PATHS
from server.request_record import RequestRecord

log = logging.getLogger("paddock.requests")

_LONGEST = 256
"""Characters of a path that are logged; and of an address, which may be any text of X-Forwarded-For."""


def log_request(record: RequestRecord, scope: Scope, *, prompts: bool) -> None:
    """Say what became of it: at debug level for those who watch the server, as a warning if the server failed.

    `prompts`: with its prompts.
    """
    broken_off = record.error is not None and record.status < 400
    level = logging.WARNING if broken_off or record.status >= 500 else logging.INFO
    if scope["path"] in WATCHER_PATHS:
        level = logging.DEBUG
    if log.isEnabledFor(level):
        log.log(level, "%(method)s %(path)s %(status)d", _fields(record, scope, prompts=prompts))


def _fields(record: RequestRecord, scope: Scope, *, prompts: bool) -> dict[str, Any]:
    """By name; None: nothing to say. Times are milliseconds."""
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": quote(scope["path"][:_LONGEST], safe="/:@!$&'()*+,;", errors="replace"),
        "status": record.status,
        "model": record.model,
        "key": record.key,
        "client": scope["client"][0][:_LONGEST] if scope.get("client") else None,
    }
    if record.generations:
        fields |= {
            "response_id": record.response_id,
            "prompt_tokens": record.prompt_tokens,
            "cached_tokens": record.cached_tokens,
            "completion_tokens": record.completion_tokens,
            "queue_ms": _ms(record.queue_seconds),
            "first_token_ms": _ms(record.first_token_seconds),
            "finish_reason": record.finish_reasons or None,
        }
    fields |= {
        "total_ms": _ms(time.monotonic() - record.arrived),
        "error": record.error,
        "client_gone": record.client_gone or None,
    }
    if prompts and record.generations:
        fields["prompts"] = [generation.prompt for generation in record.generations]
    return fields


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
