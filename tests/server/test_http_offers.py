"""Offers to speak another protocol, which clients make and nobody takes: on real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from server.http_connection import Connection
from tests.server.http_peer import LIVEZ, Peer, connections, listening
from tests.server.routes.test_disconnect import until

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
"""What Java's HttpClient says in every request to an http:// address, and curl with --http2."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what it was asked."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = json.dumps([scope["method"], scope["path"], scope["http_version"], body.decode()]).encode()
    head = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


async def told(peer: Peer) -> Any:
    """What `echo` says next."""
    status, _, body = await peer.answer()
    assert status == 200
    return json.loads(body)


def offering(rest: bytes, offer: bytes = OFFER, version: bytes = b"1.1") -> bytes:
    return b"POST /a%20b?c HTTP/" + version + b"\r\nHost: test\r\n" + offer + b"X-Empty:\r\n" + rest


FRAMED = {
    b"Content-Length: 5\r\n\r\nhello": "hello",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nUpgrade: h2c\r\n\r\n": "hello",
    b"\r\n": "",
    b"Content-Length: %d\r\n\r\n%s" % (len(LIVEZ), LIVEZ): LIVEZ.decode(),
}
"""Bodies, and how they are written."""


@pytest.mark.parametrize("rest", FRAMED)
async def test_offers_of_another_protocol_take_nothing_from_a_body(rest: bytes) -> None:
    """Wherever its packets begin and end, and all on one connection."""
    request = offering(rest)
    expected = ["POST", "/a b", "1.1", FRAMED[rest]]
    async with listening(app=echo) as (server, connect):
        peer = await connect()
        await until(lambda: connections(server) == 1)
        (connection,) = server.server_state.connections
        assert isinstance(connection, Connection)
        cuts = [(at,) for at in range(1, len(request) + 1)] + [tuple(range(len(request)))]
        for cut in cuts:
            for start, end in zip((0, *cut), (*cut, len(request)), strict=True):
                connection.data_received(request[start:end])
            assert await told(peer) == expected
        assert connections(server) == 1


async def test_requests_behind_an_offer_are_answered_in_order() -> None:
    requests = [offering(rest) for rest in FRAMED] * 100
    async with listening(app=echo) as (_, connect):
        peer = await connect()
        peer.send(b"".join(request + LIVEZ for request in requests))
        for body in [*FRAMED.values()] * 100:
            assert (await told(peer))[3] == body
            assert await told(peer) == ["GET", "/livez", "1.1", ""]


async def test_a_body_that_waits_to_be_asked_for_behind_an_offer() -> None:
    async with listening(app=echo) as (_, connect):
        peer = await connect()
        for _ in range(2):
            peer.send(offering(b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"))
            assert await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
            peer.send(b"hello")
            assert (await told(peer))[3] == "hello"


@pytest.mark.parametrize(
    ("offer", "version"),
    [
        (b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n", b"1.1"),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"1.0"),
        (b"Upgrade: websocket, h2c\r\nuPGRADE:TLS/1.0\r\nConnection: close\r\nConnection: upgrade\r\n", b"1.1"),
    ],
)
async def test_connections_end_as_they_would_without_an_offer(offer: bytes, version: bytes) -> None:
    async with listening(app=echo) as (_, connect):
        peer = await connect()
        peer.send(offering(b"Content-Length: 5\r\n\r\nhe", offer, version))
        await asyncio.sleep(0.01)
        peer.send(b"llo")
        assert await told(peer) == ["POST", "/a b", version.decode(), "hello"]
        assert await peer.ended() == b""


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
        b"X: a\x00b\r\n\r\n",
    ],
)
async def test_an_offer_excuses_nothing(rest: bytes) -> None:
    async with listening(app=echo) as (_, connect):
        peer = await connect()
        peer.send(offering(rest) + LIVEZ)
        assert (await peer.answer())[0] == 400
        assert await peer.ended() == b""


@pytest.mark.parametrize("target", [b"test:80", b"http://test/livez", b"/livez"])
async def test_tunnels_are_refused(target: bytes) -> None:
    """What comes through one is nobody's request."""
    async with listening(app=echo) as (_, connect):
        peer = await connect()
        peer.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: test\r\n" + OFFER + b"\r\n")
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"]) == (400, "close")
        peer.send(LIVEZ)
        assert await peer.ended() == b""
