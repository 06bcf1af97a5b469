"""Server-sent events as OpenAI sends them: `data:` lines of JSON, then `data: [DONE]`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.connection import DeadlineExceeded, cancel, seconds_to, unless_gone, until_gone
from server.errors import as_api_error

T = TypeVar("T")

log = logging.getLogger("paddock.sse")

PATIENCE = 1.0
"""Seconds to wait for the first chunk: a failure until then is a proper HTTP status. Afterwards pings must flow."""

_PADDED_TO = 32
MEDIA_TYPE = b"text/event-stream"
DONE = b"data: [DONE]\n\n"
_HEADERS = {"Cache-Control": "no-cache"}
_encoder = msgspec.json.Encoder()


def event(chunk: msgspec.Struct | Mapping[str, Any]) -> bytes:
    """One chunk as it goes over the wire."""
    return b"data: " + _encoder.encode(chunk) + b"\n\n"


def padding(content: str) -> str:
    """OpenAI's `obfuscation`: with it, a content's length tells only in which block of 32 characters it falls."""
    length = -len(content) % _PADDED_TO
    return secrets.token_hex(_PADDED_TO)[:length]


async def begun(
    request: Request,
    prepare: Callable[[], Coroutine[Any, Any, T]],
    chunks: Callable[[T], AsyncGenerator[bytes, None]],
    *,
    deadline: float | None,
    waits: bool,
) -> AsyncGenerator[bytes, None]:
    """The events of what `prepare` prepares, which is done first: what is refused there is a proper HTTP status. If the
    request `waits` for its model, it is done inside of the stream, where pings flow meanwhile."""
    if not waits:
        return chunks(await unless_gone(request, prepare(), deadline))
    return _later(prepare, chunks)


async def _later(
    prepare: Callable[[], Coroutine[Any, Any, T]], chunks: Callable[[T], AsyncGenerator[bytes, None]]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks(await prepare())) as events:
        async for event in events:
            yield event


async def stream(
    request: Request,
    chunks: AsyncGenerator[bytes, None],
    *,
    ping: float,
    deadline: float | None,
    done: bytes = DONE,
) -> Response:
    """Stream encoded events, with a comment every `ping` seconds (0: none), and `done` if they end well.

    Raises what `chunks` raises at its start; what it raises later is the stream's last event. The generator is closed
    as soon as the client goes away, or at `deadline`, a time of the running event loop's clock.
    """
    first = asyncio.ensure_future(anext(chunks, None))
    gone = asyncio.ensure_future(until_gone(request))
    left = seconds_to(deadline)
    patience = PATIENCE if left is None else min(left, PATIENCE)
    try:
        await asyncio.wait((first, gone), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise ClientDisconnect
        if first.done():
            first.result()
        elif patience == left:
            raise DeadlineExceeded
    except BaseException:
        await cancel(first)
        await chunks.aclose()
        raise
    finally:
        await cancel(gone)
    return _EventStream(first, chunks, ping=max(ping, 0), deadline=deadline, done=done)


class _EventStream(EventSourceResponse):
    """Sends its chunks as they are, and closes them however it ends, even before their first."""

    def __init__(
        self,
        first: asyncio.Future[bytes | None],
        chunks: AsyncGenerator[bytes, None],
        *,
        ping: float,
        deadline: float | None,
        done: bytes,
    ) -> None:
        super().__init__(chunks, headers=_HEADERS, sep="\n", ping=ping, ping_message_factory=_ping)
        del self.headers["connection"]  # the library's keep-alive: whether to keep it is the HTTP server's to say
        self._first, self._chunks, self._deadline, self._done = first, chunks, deadline, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await cancel(self._first)
            await self._chunks.aclose()

    @staticmethod
    async def _listen_for_exit_signal() -> None:
        """uvicorn decides how long streams may go on at shutdown; the library would look for it twice a second."""
        await asyncio.get_running_loop().create_future()

    async def _stream_response(self, send: Send) -> None:
        """As the library's, but without a cancel scope for every chunk, a sixth of what a token costs, and without
        writing what models say to clients into a log at debug level."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await self._send_chunks(send)
            end = self._done
        except Exception as error:
            await self._chunks.aclose()
            end = error_event(error)
        async with self._send_lock:
            self.active = False
            await send({"type": "http.response.body", "body": end, "more_body": False})

    async def _send_chunks(self, send: Send) -> None:
        try:
            async with asyncio.timeout_at(self._deadline) as timer:
                chunk = await self._first
                while chunk is not None:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    chunk = await anext(self._chunks, None)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise DeadlineExceeded from error


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep="\n")


def error_event(error: Exception) -> bytes:
    """A stream's last event, if it ends badly."""
    answer = as_api_error(error)
    answer.note()
    if answer.status == 500:
        log.error("%s", answer.message, exc_info=error)
    return b"event: error\ndata: " + _encoder.encode(answer.body()) + b"\n\n"
