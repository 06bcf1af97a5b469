"""The client, on streams that are written for it."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks import client_cost
from benchmarks.answer import Refused, answer_of
from benchmarks.client import HOST, Exchange, status_of


def test_what_it_costs_is_little() -> None:
    cost = client_cost.measure(n_streams=4, n_chunks=20, interval=0.002)
    assert 0 < cost.receiving < 5000


async def test_an_error_is_a_refusal() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, _ = (await reader.readuntil(b"}")).partition(b"\r\n\r\n")
        asked.append(head)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + json.dumps({"error": {"message": "no"}}).encode())
        writer.close()

    asked: list[bytes] = []
    async with await asyncio.start_server(answer, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        exchange = await Exchange.start(port, "/v1/chat/completions", {"stream": True})
        await exchange.finished()
    with pytest.raises(Refused, match="no") as refusal:
        answer_of(exchange)
    assert refusal.value.status == 400
    assert asked[0].startswith(b"POST /v1/chat/completions HTTP/1.1") and b"Connection: close" in asked[0]


async def test_whoever_waits_for_segments_is_woken_by_the_end() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        exchange = await Exchange.start(server.sockets[0].getsockname()[1], "/", {})
        await exchange.arrived(1)
        await exchange.arrived(1000)
    with pytest.raises(Refused, match="no text"):
        answer_of(exchange)


async def test_nobody_there_is_status_0() -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
    assert await status_of(port, "/health") == 0
