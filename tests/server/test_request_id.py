"""`x-request-id`: on every answer, the client's own if it is fit for that."""

from __future__ import annotations

import re

import httpx
import pytest

from backends.base import EngineUnavailable
from server.app import create_app
from server.request_id import request_id
from tests.server.routes.client import call, chat, completion
from tests.server.scripted import scripted_state

OURS = re.compile(r"req_[0-9a-f]{32}")


def given(*values: bytes) -> str:
    return request_id({"type": "http", "headers": [(b"host", b"x"), *((b"x-request-id", value) for value in values)]})


@pytest.mark.parametrize(
    "sane",
    [
        b"a",
        b"5b0a1d2e-7a1f-4c5e-9d0b-3f0f0f0f0f0f",
        b"Root=1-67891233-abcdef012345678912345678",
        b"req_011CSHoEeqs5C35K2UUqR7Fy",
        b"n0de/1:2+3@4=,;|#~",
        b"x" * 128,
    ],
)
def test_a_sane_id_is_used(sane: bytes) -> None:
    assert given(sane) == sane.decode()
    assert given(sane, b"another") == sane.decode()


@pytest.mark.parametrize(
    "insane",
    [
        b"",
        b"x" * 129,
        b"two words",
        b"line\nbreak",
        b"line\n",
        b"\x1b[31mred",
        b"del\x7f",
        b'quo"te',
        b"br]acket",
        b"back\\slash",
        b"percent%0a",
        "schön".encode(),
        "schön".encode("latin-1"),
        b"\x85next line",
    ],
)
def test_an_insane_one_is_replaced(insane: bytes) -> None:
    assert OURS.fullmatch(given(insane))
    assert OURS.fullmatch(given(insane, b"sane"))


def test_new_ones_differ() -> None:
    assert len({given() for _ in range(100)}) == 100


async def test_every_answer_has_one() -> None:
    state, backend = scripted_state()
    answers = [
        await chat(state),
        await chat(state, stream=True),
        await completion(state, prompt=[]),
        await chat(state, model="other"),
        await call(state, "GET", "/v1/models"),
        await call(state, "GET", "/nothing"),
        await call(state, "DELETE", "/livez"),
        await call(state, "GET", "/livez"),
    ]
    backend.fail_after, backend.failure = 0, EngineUnavailable("gone")
    answers.append(await chat(state))
    backend.failure = RuntimeError("unexpected")
    answers.append(await chat(state))
    state.drain.refuse()
    answers.append(await chat(state))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 200, 400, 404, 200, 404, 405, 200, 503, 500, 503]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(map(OURS.fullmatch, ids)) and len(set(ids)) == len(ids)
    assert all(int(answer.headers["openai-processing-ms"]) >= 0 for answer in answers)


async def test_the_clients_own_comes_back() -> None:
    state, _ = scripted_state()
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/v1/models", headers={"X-Request-ID": "mine-7"})
        assert answer.headers.get_list("x-request-id") == ["mine-7"]
        answer = await client.get("/v1/models")
        assert OURS.fullmatch(answer.headers["x-request-id"])
