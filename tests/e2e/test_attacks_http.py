"""Attacks below the API: bytes that are no proper HTTP, or too much of it, on a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from .attacks import MARK, connection, memory, raw, statuses, still_serves, told_nothing
from .serving import DEMO, Server, serving

HOST = b"Host: x\r\n"
HIDDEN = b"GET /v1/models/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
"""A request inside of another one's body: answered, it would be a 404 that names it."""
BODY = json.dumps({"model": DEMO, "prompt": "Once", "max_tokens": 1}).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--timeout", "20") as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(server: Server) -> Iterator[None]:
    yield
    still_serves(server)
    told_nothing(server)


def post(*headers: bytes, body: bytes = BODY, version: bytes = b"1.1") -> bytes:
    head = [b"POST /v1/completions HTTP/" + version, b"Host: x", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


CHUNKED = b"Transfer-Encoding: chunked"
OFFERS: dict[str, bytes] = {
    "none": b"",
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "TLS": b"Upgrade: TLS/1.0, h2c\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
}
"""Offers to speak something else than HTTP/1.1."""


def offering(request: bytes, offer: str) -> bytes:
    return request.replace(b"\r\n", b"\r\n" + OFFERS[offer], 1)


AMBIGUOUS: dict[str, bytes] = {
    "length and chunks": post(length(b"0\r\n\r\n" + HIDDEN), CHUNKED, body=b"0\r\n\r\n" + HIDDEN),
    "chunks and length": post(CHUNKED, b"Content-Length: 4", body=b"0\r\n\r\n" + HIDDEN),
    "two lengths": post(b"Content-Length: 2", length(b"{}" + HIDDEN), body=b"{}" + HIDDEN),
    "a list of lengths": post(b"Content-Length: 2, %d" % len(b"{}" + HIDDEN), body=b"{}" + HIDDEN),
    "a signed length": post(b"Content-Length: +2", body=b"{}" + HIDDEN),
    "a negative length": post(b"Content-Length: -2", body=b"{}" + HIDDEN),
    "a hexadecimal length": post(b"Content-Length: 0x2", body=b"{}" + HIDDEN),
    "a length that overflows": post(b"Content-Length: 18446744073709551618", body=b"{}" + HIDDEN),
    "an empty length": post(b"Content-Length: ", body=b"{}" + HIDDEN),
    "a space before the colon": post(b"Content-Length : 2", body=b"{}" + HIDDEN),
    "chunks by another name": post(b"Transfer-Encoding: xchunked", length(BODY), body=BODY + HIDDEN),
    "chunks not last": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN),
    "chunks twice": post(CHUNKED, CHUNKED, b"Content-Length: 4", body=b"0\r\n\r\n" + HIDDEN),
    "chunks behind a tab": post(b"Transfer-Encoding:\tchunked", b"Content-Length: 4", body=b"0\r\n\r\n" + HIDDEN),
    "a folded header": post(b"X: y\r\n Transfer-Encoding: chunked", length(BODY), body=BODY + HIDDEN),
    "a chunk's size that overflows": post(CHUNKED, body=b"fffffffffffffffff\r\n{}" + HIDDEN),
    "a negative chunk": post(CHUNKED, body=b"-1\r\n{}" + HIDDEN),
    "bare line feeds": post(length(BODY)).replace(b"\r\n", b"\n"),
    "a bare carriage return": b"POST /v1/completions HTTP/1.1\rHost: x\r\n\r\n" + HIDDEN,
    "NUL in a header": post(b"X: a\x00b", length(BODY)),
    "a line break in the path": b"GET /livez HTTP/1.1\r\nX: y HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("offer", ["none", "HTTP/2"])
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_lengths_hide_no_request(server: Server, name: str, offer: str) -> None:
    """Refused, and the connection closed; or read as one request, whose body isn't read as another one."""
    answer = raw(server, offering(AMBIGUOUS[name], offer))
    told = statuses(answer)
    assert all(status < 500 for status in told), answer
    if len(told) > 1:  # what follows a whole request is the next one
        assert told[0] == 200 and b"Content-Length: %d" % len(BODY) in AMBIGUOUS[name]
    elif told and told[0] != 200:
        assert told[0] == 400 and b"connection: close" in answer.lower()


@pytest.mark.parametrize("offer", OFFERS)
def test_offers_of_another_protocol_are_ignored(server: Server, offer: str) -> None:
    whole = offering(post(length(BODY)), offer)
    chunked = offering(post(CHUNKED, body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)), offer)
    hidden = offering(post(length(HIDDEN), body=HIDDEN), offer)
    last = offering(post(length(BODY), b"Connection: close"), offer)
    answer = raw(server, whole + whole + chunked + hidden + last, timeout=10, pause=10)
    assert statuses(answer) == [200, 200, 200, 400, 200], answer
    assert b"upgrade" not in answer.lower()


def test_curl_with_http2(server: Server) -> None:
    """It offers HTTP/2, and goes on in HTTP/1.1."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if "HTTP2" not in subprocess.check_output(["curl", "--version"], text=True).split():
        pytest.skip("this curl knows no HTTP/2")
    command = ["curl", "--silent", "--verbose", "--http2", "--noproxy", "*", "--data", BODY.decode()]
    url = f"{server.url}/completions"
    done = subprocess.run([*command, url, url], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.count("> Upgrade: h2c") == done.stderr.count("< HTTP/1.1 200 OK") == 2
    assert done.stdout.count('"text_completion"') == 2


def test_chunks_with_extensions_and_trailers(server: Server) -> None:
    chunks = b"%x;a=b\r\n%s\r\n0\r\nX-Trailer: y\r\n\r\n" % (len(BODY), BODY)
    assert statuses(raw(server, post(CHUNKED, body=chunks))) == [200]
    length_behind = b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n" % (len(BODY), BODY)
    assert statuses(raw(server, post(CHUNKED, body=length_behind + HIDDEN))) in ([400], [200, 404])


def test_http_1_0(server: Server) -> None:
    assert statuses(raw(server, b"GET /livez HTTP/1.0\r\n\r\n")) == [200]
    answer = raw(server, post(length(BODY), version=b"1.0"))
    assert statuses(answer) == [200] and b"chunked" not in answer.lower()


def test_requests_on_one_connection_are_answered_in_order(server: Server) -> None:
    one = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    two = b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n"
    assert statuses(raw(server, one + two + post(length(BODY)) + one, pause=3)) == [200, 404, 200, 200]


def test_very_many_requests_at_once_on_one_connection(server: Server) -> None:
    one = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    answers = statuses(raw(server, one * 2000, pause=1))
    assert answers and set(answers) == {200}


@pytest.mark.parametrize("method", [b"TRACE", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT", b"PROPFIND", b"get"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/health", b"/nowhere"])
def test_other_methods(server: Server, method: bytes, path: bytes) -> None:
    answer = raw(
        server, method + b" " + path + b" HTTP/1.1\r\nSecret: " + MARK.encode() + b"\r\n" + HOST + b"\r\n", timeout=1
    )
    assert set(statuses(answer)) <= {400, 404, 405}
    assert MARK.encode() not in answer


NO_HTTP: dict[str, bytes] = {
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100,
    "HTTP/0.9": b"GET /livez\r\n",
    "HTTP/9.9": b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n",
    "TLS": bytes.fromhex("16030100f0010000ec0303") + b"\0" * 200,
    "zeros": b"\0" * 100_000,
    "line ends": b"\r\n" * 50_000,
    "frames of WebSocket": offering(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", "WebSocket") + b"\x81\x85" + b"\0" * 9,
    "HTTP/2 by upgrade": offering(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", "HTTP/2") + b"PRI * HTTP/2.0\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "a proxy's form": b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the path": b"GET /\xff\xfe\x80 HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_no_http(server: Server, name: str) -> None:
    assert all(status < 500 for status in statuses(raw(server, NO_HTTP[name], timeout=1)))


LARGE: dict[str, list[bytes]] = {
    "a path": [b"GET /", *[b"a" * 65536] * 400, b" HTTP/1.1\r\n\r\n"],
    "a query": [b"GET /slots?", *[b"a=b&" * 16384] * 400, b" HTTP/1.1\r\n\r\n"],
    "a header": [b"GET /livez HTTP/1.1\r\nX: ", *[b"a" * 65536] * 400, b"\r\n\r\n"],
    "headers": [b"GET /livez HTTP/1.1\r\n", *[b"X-Header: a\r\n" * 5000] * 400, b"\r\n"],
    "a trailer": [post(CHUNKED, body=b"0\r\n"), *[b"X-Trailer: a\r\n" * 5000] * 400],
    "a chunk's extension": [post(CHUNKED, body=b"1;"), *[b"a" * 65536] * 400],
    "a method": [b"G" * 65536] * 400,
}


@pytest.mark.parametrize("name", LARGE)
def test_heads_are_bounded(server: Server, name: str) -> None:
    """26 MB and more of a head aren't kept: they are cut off."""
    before = memory(server)
    answer = raw(server, *LARGE[name], timeout=5)
    assert all(status in (400, 404, 414, 431) for status in statuses(answer)), answer[:300]
    assert memory(server) - before < 20 << 20


def test_slow_clients_take_nothing_from_others(server: Server) -> None:
    """300 connections on which a request never gets complete, each a byte at a time."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(server)) for _ in range(300)]
        for number, client in enumerate(slow):
            client.sendall(post(b"Content-Length: 1000", body=b"{") if number % 2 else b"GET /livez HTTP/1.1\r\nX: ")
        for _ in range(5):
            for client in slow:
                client.sendall(b" ")
        started = time.monotonic()
        still_serves(server)
        assert time.monotonic() - started < 10


# --- what gets into logs and headers ---

FORGED = "2026-01-01 00:00:00,000 INFO    forged"

QUOTED = FORGED.replace(" ", "%20")
HEADER = f"\x85{FORGED}\x9b31m".encode("latin-1")
BODIES = {
    "model": {"model": f"\n{FORGED}\x1b[31m\u0085", "prompt": "a"},
    "field": {"model": DEMO, "prompt": "a", "stop": {f"\n{FORGED}\x1b": 1}},
    "user": {"model": DEMO, "prompt": "a", "max_tokens": 1, "user": f"\n{FORGED}\x1b"},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "path": {"path": f"/v1/models/%0a{QUOTED}%0a%1b[31m%00%7f%c2%9b"},
    "unknown path": {"path": f"/%0d%0a{QUOTED}%1b]0;x%07"},
    "query": {"path": f"/slots?fail_on_no_slot=%0a{QUOTED}%1b[2J"},
    **{name: {"method": "POST", "path": "/v1/completions", "json": body} for name, body in BODIES.items()},
    "key": {"headers": {"Authorization": b"Bearer " + HEADER}},
    "agent": {"headers": {"User-Agent": HEADER}},
    "request id": {"headers": {"X-Request-Id": HEADER}},
    "long request id": {"headers": {"X-Request-Id": "x" * 20_000}},
    "trace": {"headers": {"Traceparent": b"00-" + HEADER + b"-01"}},
    "forwarded": {"headers": {"X-Forwarded-For": HEADER}},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_log_lines_are_not_forged(server: Server, name: str) -> None:
    request = {"method": "GET", "path": "/v1/models", **REQUESTS[name]}
    url = server.root + request.pop("path")
    response = httpx.request(url=url, timeout=60, **request)
    assert response.status_code < 500
    assert not any("forged" in f"{key}: {value}" for key, value in response.headers.items())
    assert all(len(value) < 1000 for value in response.headers.values())
    assert not any(line.startswith(FORGED) for line in server.log)


SPLITTING = [
    b"GET /v1/models/x%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: x%0d%0aSet-Cookie: a=b\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nX-Request-Id: a\r\n\tSet-Cookie: a=b\r\n" + HOST + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nX-Request-Id: a\rSet-Cookie: a=b\r\n" + HOST + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nX-Request-Id: a%0d%0aSet-Cookie: a=b\r\n" + HOST + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nX-Request-Id: a\x00b\r\n" + HOST + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nOrigin: http://x\r\n\tSet-Cookie: a=b\r\n" + HOST + b"\r\n",
    b"GET //evil.example/%0d%0aSet-Cookie:a=b HTTP/1.1\r\n" + HOST + b"\r\n",
]


@pytest.mark.parametrize("request_bytes", SPLITTING)
def test_headers_are_not_split(server: Server, request_bytes: bytes) -> None:
    answer = raw(server, request_bytes, timeout=1)
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\nset-cookie" not in head and b"\rset-cookie" not in head and b"location:" not in head


TRAVERSALS = [
    b"/v1/models/../../../../etc/passwd", b"/v1/models/..%2f..%2f..%2fetc%2fpasswd", b"/../../../etc/passwd",
    b"/v1/models/%2e%2e/%2e%2e/etc/passwd", b"/v1/models/..%5c..%5cetc%5cpasswd", b"/v1/models/%252e%252e%252fetc",
    b"//etc/passwd", b"/v1//models", b"/v1/models/", b"/v1/models//paddock-demo", b"/v1/./models", b"/%2fetc/passwd",
    b"/v1/models/%00", b"/v1/models/paddock-demo%00.json", b"/v1/models/\xc0\xae\xc0\xae/etc", b"/v1/../metrics/x",
    b"/metrics/../x",
    b"/v1/models/file:///etc/passwd", b"/openapi.json/../x", b"/server/models/paddock-demo.gguf",
]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_paths_lead_nowhere(server: Server, path: bytes) -> None:
    answer = raw(server, b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert statuses(answer) in ([404], [400])
    assert b"root:" not in answer and b"GGUF" not in answer
