"""The client: HTTP/1.1 POSTs over loopback, every arriving segment kept with its time and looked at only afterwards.

It shares the processor with the servers, so it does nothing else while they work; `python -m benchmarks client` tells
what it costs. Each request has a connection of its own, which the server closes at its end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Self, cast

HOST = "127.0.0.1"

Segment = tuple[float, bytes]
"""When bytes arrived (seconds of `perf_counter`), and the bytes."""


class Exchange(asyncio.Protocol):
    """One request and what has come back of it. Made by `start`."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.segments: list[Segment] = []
        self.sent = 0.0
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    @classmethod
    async def start(cls, port: int, path: str, body: Mapping[str, Any]) -> Self:
        """Connect and send. Raises OSError if nobody listens."""
        request = request_bytes(port, path, body)
        _, exchange = await asyncio.get_running_loop().create_connection(lambda: cls(request), HOST, port)
        return exchange

    async def finished(self) -> None:
        """Wait until the server has closed the connection."""
        await self._closed

    async def arrived(self, n_segments: int) -> None:
        """Wait until so many segments have arrived (about one per token), or the end."""
        if len(self.segments) < n_segments and not self._closed.done():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited.append((n_segments, waiter))
            await waiter

    def hang_up(self) -> None:
        """Go away, as a client that has seen enough."""
        self._transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.sent = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.segments.append((perf_counter(), data))
        if self._awaited:
            self._wake(len(self.segments))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        self._wake(None)

    def _wake(self, n_segments: int | None) -> None:
        """Those who await so many segments; None: everybody."""
        due = [entry for entry in self._awaited if n_segments is None or n_segments >= entry[0]]
        for entry in due:
            self._awaited.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)


def request_bytes(port: int, path: str, body: Mapping[str, Any]) -> bytes:
    """A POST of JSON as it goes over the wire."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


async def status_of(port: int, path: str) -> int:
    """The HTTP status of a GET; 0 if nobody answers."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return 0
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        await reader.read()
    except OSError:
        return 0
    finally:
        writer.close()
    words = line.split()
    return int(words[1]) if len(words) > 1 else 0
