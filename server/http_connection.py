"""One client's connection, as uvicorn has it, with the bounds that uvicorn lacks.

Heads must come within a time and a size, what was asked for must be taken, and where there are too many connections the
one that has been idle for longest makes room. Offers to speak another protocol are ignored, as RFC 9110 has it (7.8):
uvicorn's parser takes a request that makes one to end with its head, and its body for the next request.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from server.draining import WATCHER_PATHS
from server.errors import APIError, unavailable

HEAD_SECONDS = 20.0
"""From a request's first byte to the end of its head; nginx's default is 60, Apache's 20."""
MAX_HEAD = 64 << 10
"""Bytes of a head, and of whatever else comes without a body: chunks' trailers."""

LINGER_SECONDS = 2.0
"""What a client gets to read in why it has been refused, while what it still sends is thrown away: a connection that is
closed before everything has been received is reset, and the answer lost."""

log = logging.getLogger("paddock.http")


class Connections(ServerState):
    """All connections of a server."""

    def __init__(self, most: int, write_timeout: float) -> None:
        super().__init__()
        self.most = most
        self.write_timeout = write_timeout
        self.idle: dict[Connection, None] = {}
        """Those on which nothing is being answered, the longest idle first."""

    def make_room(self, newcomer: Connection) -> bool:
        """Close an idle connection if there are too many. False: all are busy."""
        if len(self.connections) <= self.most:
            return True
        oldest = next(iter(self.idle), newcomer)
        if oldest is newcomer:
            return False
        del self.idle[oldest]
        oldest.transport.close()
        return True


class Connection(HttpToolsProtocol):
    """`server_state` is the server's `Connections`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self.server_state, Connections)
        self._all = self.server_state
        self._read_timer: asyncio.TimerHandle | None = None
        """Until when the head must have come; after a refusal, until when what comes is thrown away."""
        self._write_timer: asyncio.TimerHandle | None = None
        """When to look again whether the client takes its answer."""
        self._refused = False
        self._bodiless = 0
        """Bytes received since a request began or a piece of its body came."""
        self._untaken = 0
        """Bytes that wait to be taken by the client."""

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        if not self._all.make_room(self):
            self.app = self._turned_away
        self._fall_idle()
        # uvicorn's, which waits for a next request, waits for the first one too
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._all.idle.pop(self, None)
        self._end_read_timer()
        self._end_write_timer()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._bodiless += len(data)
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self._refuse(400, "The request is not HTTP/1.1.")
            return
        if self.transport.is_closing():
            return
        if self._bodiless > MAX_HEAD:
            self._refuse(431, f"The request's head is larger than {MAX_HEAD} bytes.")
        elif self._read_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._read_timer = self.loop.call_later(HEAD_SECONDS, self._head_overdue)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self._all.write_timeout, self._check_taken)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_write_timer()

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        self._bodiless = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("what follows is for somebody else")
            return  # comes again, without the offer
        self._end_read_timer()
        self._all.idle.pop(self, None)
        super().on_headers_complete()
        # The application has this list, and runs when all of the packet is parsed. Trailers go into another: among the
        # headers they would get past proxies, which check headers only, and be taken for keys and forwarded addresses.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        self._bodiless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._bodiless = 0
        self._end_read_timer()
        super().on_message_complete()

    # --- what the answer calls ---

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self._fall_idle()

    # --- parts ---

    def _parse(self, data: bytes) -> None:
        """Raises HttpParserError."""
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as offer:
                (end,) = offer.args
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)  # the old one may take the connection to be at its end
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
                self.parser.feed_data(head)
                rest = rest[end:]

    def _head_without_offer(self) -> bytes:
        """The head that has just been parsed, for the parser to read a body behind it."""
        request = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([request, *headers, b"", b""])

    def _end_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _end_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _fall_idle(self) -> None:
        self._all.idle[self] = None

    def _head_overdue(self) -> None:
        self._refuse(408, f"The request's head did not come within {HEAD_SECONDS:g} seconds.")

    def _check_taken(self) -> None:
        """Go on waiting for a client that has taken something since."""
        untaken = self.transport.get_write_buffer_size()
        if untaken < self._untaken:
            self._untaken = untaken
            self._write_timer = self.loop.call_later(self._all.write_timeout, self._check_taken)
            return
        log.info("a client has taken nothing of its answer for %g s: cut off", self._all.write_timeout)
        self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what isn't a request, or not to its end, and close. Whole requests before it are answered first."""
        self._end_read_timer()
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:
                self.cycle.keep_alive = False  # it is the last
                return
            self.cycle.disconnected = True  # the application has nobody to answer any more
            self.cycle.message_event.set()
            if self.cycle.response_started or self.pipeline:
                self.transport.abort()  # in the middle of another answer
                return
        answer = APIError(message, status=status, code="bad_request").response()
        head = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in answer.raw_headers)]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", bytes(answer.body)]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._read_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        else:
            self.transport.close()

    async def _turned_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application of connections that were too many when they came, and may still be; those who watch the
        server are answered all the same."""
        if scope["path"] in WATCHER_PATHS or len(self._all.connections) <= self._all.most:
            await self.config.loaded_app(scope, receive, send)
            return
        error = unavailable("The server has too many open connections.")
        error.headers["Connection"] = "close"
        await error.response()(scope, receive, send)
