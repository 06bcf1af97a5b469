"""A server on a real socket, and what connects to it byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import ASGIApp

from server.app import create_app
from server.http_server import HTTPServer
from server.state import AppState
from tests.server.routes.test_disconnect import until
from tests.server.scripted import scripted_state

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"


class Peer:
    """A client's end of a connection, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer that tells its length."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def ended(self) -> bytes:
        """What comes until the server closes the connection."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), 10)
        return b""


@asynccontextmanager
async def listening(
    state: AppState | None = None,
    *,
    app: ASGIApp | None = None,
    max_connections: int = 100,
    write_timeout: float = 60.0,
) -> AsyncIterator[tuple[HTTPServer, Callable[[], Any]]]:
    """The server, and what connects to it."""
    app = app or create_app(state or scripted_state()[0])
    server = HTTPServer(app, max_connections=max_connections, write_timeout=write_timeout)
    server.config.port = 0
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    peers: list[Peer] = []

    async def connect(limit: int = 1 << 16) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port, limit=limit))
        peers.append(peer)
        return peer

    try:
        yield server, connect
    finally:
        for peer in peers:
            peer.writer.close()
        server.end()
        await serving


def connections(server: HTTPServer) -> int:
    return len(server.server_state.connections)
