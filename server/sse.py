"""Server-sent events as OpenAI sends them: `data:` lines of JSON, then `data: [DONE]`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import msgspec
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.connection import cancel, until_gone
from server.errors import as_api_error

log = logging.getLogger("paddock.sse")

PATIENCE = 1.0
"""Seconds to wait for the first chunk: a failure until then is a proper HTTP status. Afterwards pings must flow."""

_PADDED_TO = 32
DONE = b"data: [DONE]\n\n"
_HEADERS = {"Cache-Control": "no-cache"}
_encoder = msgspec.json.Encoder()

# uvicorn decides how long streams may go on at shutdown, not this library
AppStatus.enable_automatic_graceful_drain = False
# at debug level it would write what models say to clients into the log
logging.getLogger("sse_starlette.sse").setLevel(logging.INFO)


def event(chunk: msgspec.Struct | Mapping[str, Any]) -> bytes:
    """One chunk as it goes over the wire."""
    return b"data: " + _encoder.encode(chunk) + b"\n\n"


def padding(content: str) -> str:
    """OpenAI's `obfuscation`: with it, a content's length tells only in which block of 32 characters it falls."""
    length = -len(content) % _PADDED_TO
    return secrets.token_hex(_PADDED_TO)[:length]


async def stream(request: Request, chunks: AsyncGenerator[bytes, None], *, ping: float, done: bytes = DONE) -> Response:
    """Stream encoded events, with a comment every `ping` seconds (0: none), and `done` if they end well.

    Raises what `chunks` raises at its start; what it raises later is the stream's last event. The generator is closed
    as soon as the client goes away.
    """
    first = asyncio.ensure_future(anext(chunks, None))
    gone = asyncio.ensure_future(until_gone(request))
    try:
        await asyncio.wait((first, gone), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise ClientDisconnect
        if first.done():
            first.result()
    except BaseException:
        await cancel(first)
        await chunks.aclose()
        raise
    finally:
        await cancel(gone)
    return _EventStream(first, chunks, ping=max(ping, 0), done=done)


class _EventStream(EventSourceResponse):
    """Closes its chunks however it ends, even before their first."""

    def __init__(
        self, first: asyncio.Future[bytes | None], chunks: AsyncGenerator[bytes, None], *, ping: float, done: bytes
    ) -> None:
        super().__init__(_body(first, chunks, done), headers=_HEADERS, sep="\n", ping=ping, ping_message_factory=_ping)
        self._first, self._chunks = first, chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await cancel(self._first)
            await self._chunks.aclose()


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep="\n")


async def _body(
    first: asyncio.Future[bytes | None], chunks: AsyncGenerator[bytes, None], done: bytes
) -> AsyncIterator[bytes]:
    try:
        if (chunk := await first) is not None:
            yield chunk
            async for chunk in chunks:
                yield chunk
        if done:
            yield done
    except Exception as error:
        answer = as_api_error(error)
        if answer.status == 500:
            log.error("stream failed: %s", error, exc_info=error)
        else:
            log.warning("stream failed: %s", error)
        yield b"event: error\ndata: " + _encoder.encode(answer.body()) + b"\n\n"
