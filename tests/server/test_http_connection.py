"""Connections that ask for nothing, too slowly, for too much or what is no HTTP, or take nothing: on real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.http_connection import MAX_HEAD, Connection
from tests.server.http_peer import LIVEZ, Peer, connections, listening
from tests.server.routes.test_disconnect import until
from tests.server.scripted import scripted_state


async def test_silence_is_ended_like_idleness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http_server.KEEP_ALIVE_SECONDS", 0.1)
    async with listening() as (server, connect):
        silent, kept = await connect(), await connect()
        kept.send(LIVEZ)
        assert (await kept.answer())[0] == 200
        assert await silent.ended() == b"" == await kept.ended()
        await until(lambda: connections(server) == 0)


@pytest.mark.parametrize("first", [b"", LIVEZ])
@pytest.mark.parametrize("piece", [b"\r\n", b"GET / HTTP/1.1\r\nX: ", b"GET /"])
async def test_a_head_that_drips_is_a_408(monkeypatch: pytest.MonkeyPatch, first: bytes, piece: bytes) -> None:
    monkeypatch.setattr("server.http_connection.HEAD_SECONDS", 0.2)
    async with listening() as (_, connect):
        peer = await connect()
        if first:
            peer.send(first)
            await peer.answer()
        dripping = asyncio.create_task(drip(peer, piece))
        status, headers, body = await peer.answer()
        dripping.cancel()
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body)["error"]["type"] == "invalid_request_error"
        assert await peer.ended() == b""


async def drip(peer: Peer, first: bytes) -> None:
    peer.send(first)
    while True:
        await asyncio.sleep(0.01)
        peer.send(b"\r\n" if first == b"\r\n" else b"x")


async def test_the_rest_of_a_body_that_was_refused_may_not_drip_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http_connection.HEAD_SECONDS", 0.2)
    async with listening() as (_, connect):
        peer = await connect()
        peer.send(b"POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999\r\n\r\n")
        assert (await peer.answer())[0] == 413
        dripping = asyncio.create_task(drip(peer, b"x"))
        assert (await peer.answer())[0] == 408
        dripping.cancel()


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"x" * (4 * MAX_HEAD),
        b"GET / HTTP/1.1\r\nX: " + b"x" * (4 * MAX_HEAD),
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * MAX_HEAD,
        b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * (8 * MAX_HEAD),
    ],
)
async def test_a_head_without_end_is_a_431(endless: bytes) -> None:
    async with listening() as (_, connect):
        peer = await connect()
        peer.send(endless)
        assert (await peer.answer())[0] == 431
        assert await peer.ended() == b""


async def test_bodies_are_not_heads() -> None:
    state, _ = scripted_state()
    async with listening(state) as (_, connect):
        peer = await connect()
        body = json.dumps({"model": "m", "prompt": "hi", "metadata": {"x": "y" * (4 * MAX_HEAD)}}).encode()
        for _ in range(2):
            peer.send(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await peer.answer())[0] == 200
            peer.send(b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 1000):
                part = body[start : start + 1000]
                peer.send(b"%x\r\n%s\r\n" % (len(part), part))
            peer.send(b"0\r\n\r\n")
            assert (await peer.answer())[0] == 200


async def test_trailers_are_no_headers() -> None:
    async with listening() as (_, connect):
        peer = await connect()
        chunked = LIVEZ.replace(b"\r\n\r\n", b"\r\nX-Request-Id: head\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(chunked + b"0\r\nX-Request-Id: trailer\r\n\r\n")
        assert (await peer.answer())[1]["x-request-id"] == "head"
        chunked = LIVEZ.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(chunked + b"0\r\nX-Request-Id: trailer\r\n\r\n" + LIVEZ)
        for _ in range(2):
            assert (await peer.answer())[1]["x-request-id"].startswith("req_")


async def test_what_is_not_http_gets_an_error_of_ours() -> None:
    async with listening() as (_, connect):
        peer = await connect()
        peer.send(b"\x16\x03\x01\x02\x00\x01")  # a TLS handshake
        status, headers, body = await peer.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body)["error"]["code"] == "bad_request"


async def test_what_was_refused_is_refused_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.http_connection.HEAD_SECONDS", 0.1)
    monkeypatch.setattr("server.http_connection.LINGER_SECONDS", 0.4)
    async with listening() as (server, connect):
        peer = await connect()
        peer.send(b"GET / HTTP/1.1\r\nX: y")
        await until(lambda: connections(server) == 1)
        await asyncio.sleep(0.02)
        peer.send(b"\x00\r\n\r\n")
        assert (await peer.answer())[0] == 400
        assert await peer.ended() == b""
        await until(lambda: connections(server) == 0)


async def test_what_was_asked_before_noise_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as (_, connect):
        for noise in (b"\x00\r\n\r\n", b"x" * (2 * MAX_HEAD)):
            peer = await connect()
            peer.send(LIVEZ * 3 + noise)
            answers = [await peer.answer() for _ in range(3)]
            assert [status for status, _, _ in answers] == [200] * 3
            assert "connection" not in answers[1][1] and answers[2][1]["connection"] == "close"
            assert await peer.ended() == b""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_noise_behind_a_request_does_not_cut_its_stream() -> None:
    state, backend = scripted_state()
    backend.delay = 0.1
    async with listening(state) as (_, connect):
        peer = await connect()
        peer.send(post("stream", True))
        await until(lambda: bool(backend.requests))
        peer.send(b"\x00\r\n\r\n")
        assert b"[DONE]" in await peer.ended()


@pytest.mark.parametrize("before", [b"", LIVEZ])
async def test_a_request_whose_body_is_broken_is_answered_once(caplog: pytest.LogCaptureFixture, before: bytes) -> None:
    async with listening() as (server, connect):
        peer = await connect()
        peer.send(before + LIVEZ.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"))
        if not before:
            assert (await peer.answer())[0] == 400
        assert await peer.ended() == b""
        peer.writer.close()
        await until(lambda: connections(server) == 0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_head_that_was_refused_is_not_waited_for() -> None:
    """Its connection is gone when the time of its head would be over."""
    async with listening() as (server, connect):
        peer = await connect()
        peer.send(b"GET / HTTP/1.1\r\nX: y")
        await until(lambda: connections(server) == 1)
        (connection,) = server.server_state.connections
        assert isinstance(connection, Connection)
        await until(lambda: connection._read_timer is not None)
        overdue = connection._read_timer
        peer.send(b"y" * (MAX_HEAD + 1))
        assert (await peer.answer())[0] == 431
        assert overdue is not None and overdue.cancelled()


async def test_the_longest_idle_makes_room() -> None:
    state, backend = scripted_state()
    backend.delay = 30
    async with listening(state, max_connections=3) as (server, connect):
        busy = await connect()
        busy.send(post("stream", True))
        await until(lambda: bool(backend.requests))
        idle = [await connect() for _ in range(2)]
        await until(lambda: connections(server) == 3)
        for peer in idle:
            peer.send(LIVEZ)
            await peer.answer()
        idle[0].send(LIVEZ)
        await idle[0].answer()
        newcomer = await connect()
        newcomer.send(LIVEZ)
        assert (await newcomer.answer())[0] == 200
        assert await idle[1].ended() == b""
        idle[0].send(LIVEZ)
        assert (await idle[0].answer())[0] == 200
        assert not backend.cancelled and connections(server) == 3


def post(field: str = "stream", value: Any = False, **fields: Any) -> bytes:
    body = json.dumps({"model": "m", "prompt": "hi", field: value, **fields}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_where_all_are_busy_only_probes_are_answered() -> None:
    state, backend = scripted_state()
    backend.delay = 30
    async with listening(state, max_connections=2) as (server, connect):
        for _ in range(2):
            (await connect()).send(post())
        await until(lambda: len(backend.requests) == 2)
        newcomer = await connect()
        newcomer.send(post())
        status, headers, body = await newcomer.answer()
        assert (status, headers["connection"]) == (503, "close") and int(headers["retry-after"]) > 0
        assert json.loads(body)["error"]["code"] == "unavailable"
        assert await newcomer.ended() == b""
        probe = await connect()
        probe.send(LIVEZ)
        assert (await probe.answer())[0] == 200
        for _ in range(5):
            await connect()
        await until(lambda: connections(server) <= 3)


async def test_who_came_when_all_were_busy_is_answered_once_they_are_not() -> None:
    state, backend = scripted_state()
    backend.delay = 30
    async with listening(state, max_connections=2) as (server, connect):
        busy = [await connect() for _ in range(2)]
        for peer in busy:
            peer.send(post())
        await until(lambda: len(backend.requests) == 2)
        newcomer = await connect()
        await until(lambda: connections(server) == 3)
        busy[0].writer.close()
        await until(lambda: connections(server) == 2)
        newcomer.send(b"GET /v1/models HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await newcomer.answer())[0] == 200


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    state, backend = scripted_state(lambda index: "x" * 60)
    async with listening(state, write_timeout=0.3) as (server, connect):
        peer = await connect(limit=1)
        peer.writer.transport.pause_reading()
        peer.send(post("stream", True, n=128, max_tokens=50, logprobs=5) * 1)
        filling = asyncio.create_task(fill(peer))
        await until(lambda: connections(server) == 0)
        filling.cancel()
        await until(lambda: bool(backend.cancelled))


async def fill(peer: Peer) -> None:
    """Ask for more until the sockets' buffers are full."""
    while True:
        peer.send(post("stream", True, n=128, max_tokens=50, logprobs=5))
        await peer.writer.drain()
        await asyncio.sleep(0.01)


async def test_a_client_that_takes_slowly_is_not() -> None:
    state, _ = scripted_state(lambda index: "x" * 60)
    async with listening(state, write_timeout=0.2) as (server, connect):
        peer = await connect(limit=1)
        peer.send(post("stream", True, n=128, max_tokens=50, logprobs=5))
        taken = b""
        while b"[DONE]" not in taken[-100:]:
            taken += await asyncio.wait_for(peer.reader.read(1 << 16), 10)
            await asyncio.sleep(0.01)
        assert connections(server) == 1
