"""ASGI middleware around everything: gives each request its id, and counts, logs and traces what becomes of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.metrics import Metrics
from server.request_id import HEADER, request_id
from server.request_log import log_request
from server.request_record import REQUEST, RequestRecord

if TYPE_CHECKING:  # not imported unless requests are traced
    from server.spans import Spans

UNMATCHED = "unmatched"
"""The handler of unknown paths: the label must not take whatever strangers ask for."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROCESSING_MS = b"openai-processing-ms"

log = logging.getLogger("paddock.requests")


class ObservedApp:
    """Goes outside of whatever answers, so that nothing is missed. Other middleware needn't wrap `send` for this."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, *, log_prompts: bool = False, spans: Spans | None = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._log_prompts = log_prompts
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(request_id(scope))

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not record.complete:
                record.client_gone = True
            return message

        async def watched_send(message: Message) -> None:
            # for every token: nothing here but what must be
            if message["type"] == "http.response.start":
                message = _start(message, record)
            elif not message.get("more_body"):
                record.complete = True
            await send(message)

        token = REQUEST.set(record)
        try:
            if self._spans is not None:
                self._spans.begin(record, scope)
            await self._app(scope, watched_receive, watched_send)
        except Exception as error:
            # it has been answered; Starlette raises it again so that it is logged
            log.error("unexpected error", exc_info=error)
        finally:
            self._end(record, scope)
            REQUEST.reset(token)

    def _end(self, record: RequestRecord, scope: Scope) -> None:
        if record.generations and record.model is None:
            record.model = record.served
        handler = _handler(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.http_request(handler, method, record.status, record.key, record.served)
        if self._spans is not None:
            self._spans.end(record, scope, handler)
        log_request(record, scope, prompts=self._log_prompts)
        # timers of the connection, set in this request's context, keep the record for a while: let its tokens go
        record.generations.clear()


def _start(message: Message, record: RequestRecord) -> Message:
    """The answer's head, with what only this place knows."""
    record.status = message["status"]
    ms = round((time.monotonic() - record.arrived) * 1000)
    own = [(HEADER, record.id.encode()), (_PROCESSING_MS, b"%d" % ms)]
    return {**message, "headers": [*message.get("headers", ()), *own]}


def _handler(scope: Scope) -> str:
    """The path as the route writes it, as `/v1/models/{model:path}`."""
    route = scope.get("route")
    return f"{scope.get('root_path', '')}{route.path}" if isinstance(route, Route) else UNMATCHED
