"""uvicorn, told when to end instead of deciding it, and with connections that are bounded."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from server.http_connection import Connection, Connections

KEEP_ALIVE_SECONDS = 3620
"""Longer than load balancers keep idle connections: so they close them, not we under a request. Envoy keeps them for an
hour, Google's for ten minutes that nobody can change. Those that are too many make room for others."""
FLUSH_SECONDS = 1.0
"""What clients get to take the end of their answers in."""


class HTTPServer(uvicorn.Server):
    """Serves until `end`.

    It is woken to end. uvicorn's own looks ten times a second: each look costs the decode step that it interrupts
    0.1 ms, as it finds nothing of what it needs in the processor's caches.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_connections: int,
        write_timeout: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_config=None,
                access_log=False,  # the application has its own
                lifespan="off",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
        )
        self.server_state = Connections(max_connections, write_timeout)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more connections, and close those there are."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # once a second, for the date that answers bear
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Idle connections close at once, others when what has been said on them is on its way."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                while self.server_state.connections:  # noqa: ASYNC110  # uvicorn has no event for it
                    await asyncio.sleep(0.01)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
