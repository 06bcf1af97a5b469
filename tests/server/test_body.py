"""Bodies that are no JSON object of sane size: each is an error of its own status, never an exception."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from server.body import LARGE, MAX_VALUES, parse_json, read_body
from server.errors import APIError
from server.limits import JSON_DEPTH, Limits
from server.schemas.json_types import Body

MALFORMED = {
    "empty": b"",
    "cut off": b'{"a":',
    "trailing": b"{} {}",
    "single quotes": b"{'a': 1}",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NaN": b"[NaN]",
    "Infinity": b"[-Infinity]",
    "a float out of range": b"[1e400]",
    "an integer of 5,000 digits": b"9" * 5000,
    "a key twice": b'{"a": {"b": 1, "b": 1}}',
    "half a surrogate pair": b'["\\ud800"]',
    "half a surrogate pair in a key": b'{"\\udc00": 1}',
    "nested too deep": b"[" * (JSON_DEPTH + 1) + b"]" * (JSON_DEPTH + 1),
    "nested absurdly deep": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    with pytest.raises(APIError) as caught:
        parse_json(MALFORMED[name])
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")
    assert len(caught.value.message) < 200


def test_well_formed() -> None:
    deepest = b"[" * JSON_DEPTH + b"]" * JSON_DEPTH
    assert parse_json(deepest)
    assert parse_json(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_reads_what_json_writes(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(APIError):
        parse_json(data)


class Anything(Body):
    a: Any = None


def _request(chunks: list[bytes], headers: dict[str, str]) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def test_joins_chunks() -> None:
    request = _request([b'{"a"', b": 1}"], {"content-encoding": "identity"})
    assert (await read_body(Anything, request, Limits(body_bytes=100))).a == 1


@pytest.mark.parametrize(
    ("chunks", "headers", "status"),
    [
        ([b"{}"], {"content-encoding": "gzip"}, 415),
        ([b"{}"], {"content-encoding": "br, gzip"}, 415),
        ([b"{}"], {"content-length": "101"}, 413),
        ([b" " * 60, b" " * 60], {}, 413),
    ],
)
async def test_refused_unread(chunks: list[bytes], headers: dict[str, str], status: int) -> None:
    with pytest.raises(APIError) as caught:
        await read_body(Anything, _request(chunks, headers), Limits(body_bytes=100))
    assert caught.value.status == status


@pytest.mark.parametrize(("bytes_per_second", "pauses"), [(1, [0.2, 0.2, 0.2, 5]), (1000, [0.2, 0.2])])
async def test_an_upload_that_stands_still_or_drips_is_given_up(
    monkeypatch: pytest.MonkeyPatch, bytes_per_second: int, pauses: list[float]
) -> None:
    monkeypatch.setattr("server.body.STALL_SECONDS", 0.3)
    monkeypatch.setattr("server.body.MIN_BYTES_PER_SECOND", bytes_per_second)
    pauses = pauses.copy()

    async def receive() -> Any:
        await asyncio.sleep(pauses.pop(0))
        return {"type": "http.request", "body": b" ", "more_body": True}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(APIError) as caught:
        await read_body(Anything, request, Limits(body_bytes=100))
    assert (caught.value.status, caught.value.code) == (408, "request_timeout")
    assert not pauses


async def test_values_without_end_are_refused_unparsed() -> None:
    body = b"[" + b"0," * MAX_VALUES + b"0]"
    with pytest.raises(APIError) as caught:
        await read_body(Anything, _request([body], {}), Limits(body_bytes=len(body)))
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")


async def test_a_large_body_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def parse(body: bytes, max_depth: int) -> Any:
        threads.append(threading.current_thread())
        return parse_json(body, max_depth)

    monkeypatch.setattr("server.body.parse_json", parse)
    large = _request([b'{"a": "', b"a" * LARGE, b'"}'], {})
    assert (await read_body(Anything, large, Limits(body_bytes=2 * LARGE))).a == "a" * LARGE
    assert (await read_body(Anything, _request([b"{}"], {}), Limits(body_bytes=LARGE))).a is None
    assert [thread is threading.main_thread() for thread in threads] == [False, True]
