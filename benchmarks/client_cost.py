"""What the client itself costs: it reads streams made by a thread that does nothing but write them."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from time import thread_time

from .answer import answer_of
from .client import HOST, Exchange

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class ClientCost:
    receiving: float
    """Microseconds of processor time per chunk while the load runs."""
    reading: float
    """The same for taking the answers apart afterwards."""


def measure(n_streams: int = 16, n_chunks: int = 300, interval: float = 0.005) -> ClientCost:
    """`n_streams` at a time, each chunk `interval` seconds after the one before."""
    port: list[int] = []
    started = threading.Event()
    server = threading.Thread(target=lambda: asyncio.run(_serve(port, started, n_streams, n_chunks, interval)))
    server.start()
    started.wait()
    cost = asyncio.run(_read(port[0], n_streams, n_chunks))
    server.join()
    return cost


async def _read(port: int, n_streams: int, n_chunks: int) -> ClientCost:
    begun = thread_time()
    exchanges = [await Exchange.start(port, "/", {}) for _ in range(n_streams)]
    await asyncio.gather(*(exchange.finished() for exchange in exchanges))
    received = thread_time()
    answers = [answer_of(exchange) for exchange in exchanges]
    read = thread_time()
    assert all(answer.n_tokens == n_chunks for answer in answers)
    per_chunk = 1e6 / (n_streams * n_chunks)
    return ClientCost((received - begun) * per_chunk, (read - received) * per_chunk)


async def _serve(port: list[int], started: threading.Event, n_streams: int, n_chunks: int, interval: float) -> None:
    left = n_streams
    over = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for _ in range(n_chunks):
            writer.write(_chunk({"choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]}))
            await asyncio.sleep(interval)
        writer.write(b"0\r\n\r\n")
        writer.close()
        left -= 1
        if not left:
            over.set()

    server = await asyncio.start_server(stream, HOST, 0)
    port.append(server.sockets[0].getsockname()[1])
    started.set()
    await over.wait()
    server.close()


def _chunk(event: object) -> bytes:
    data = b"data: " + json.dumps(event).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)
