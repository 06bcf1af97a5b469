"""The end of the server: what is answered on the way, and what becomes of what runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.app import create_app
from server.state import AppState
from tests.server.routes.client import call, chat, error
from tests.server.routes.test_disconnect import Client, until
from tests.server.scripted import scripted_state

CHAT = "/v1/chat/completions"


def start(state: AppState, taken: int | None = None, **fields: Any) -> tuple[Client, asyncio.Future[None]]:
    """A chat request that runs; `taken`: how many messages of the answer its client takes before it is stuck."""
    client = Client(CHAT, {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})

    async def send(message: Any) -> None:
        await client.send(message)
        if taken is not None and len(client.sent) > taken:
            await asyncio.Event().wait()

    return client, asyncio.ensure_future(create_app(state)(client.scope, client.receive, send))  # type: ignore[arg-type]  # as dicts


def answer(client: Client) -> tuple[int, bytes]:
    """The status and the body of a complete answer."""
    head, *body = client.sent
    assert body and not body[-1].get("more_body", False)
    return head["status"], b"".join(part["body"] for part in body)


async def test_once_begun_it_is_not_ready_but_serves() -> None:
    state, _ = scripted_state()
    before = await chat(state)
    assert "connection" not in before.headers
    state.drain.begin()
    for path in ("/health", "/v1/health"):
        health = await call(state, "GET", path)
        assert (health.status_code, error(health)["code"]) == (503, "unavailable")
    assert (await call(state, "GET", "/livez")).status_code == 200
    for stream in (False, True):
        served = await chat(state, stream=stream)
        assert (served.status_code, served.headers["connection"]) == (200, "close")


async def test_then_new_requests_are_refused() -> None:
    state, backend = scripted_state()
    state.drain.refuse()
    for path in (CHAT, "/v1/models", "/nowhere"):
        refused = await call(state, "POST" if path == CHAT else "GET", path)
        assert (refused.status_code, error(refused)["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["connection"] == "close"
    assert not backend.requests
    assert (await call(state, "GET", "/livez")).status_code == 200
    assert (await call(state, "GET", "/metrics")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_what_runs_is_finished(stream: bool) -> None:
    state, backend = scripted_state()
    backend.pace = 0.05
    client, running = start(state, stream=stream)
    await until(lambda: bool(backend.requests))
    state.drain.refuse()
    assert state.drain.n_running == 1
    await state.drain.emptied()
    assert running.done() or await running is None
    status, body = answer(client)
    assert status == 200
    if stream:
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(body)["choices"][0]["message"]["content"] == "hello"


async def test_a_stream_is_cut_with_an_error_event() -> None:
    state, backend = scripted_state(lambda index: "x" * 60)
    backend.pace = 0.05
    client, running = start(state, stream=True)
    await until(lambda: len(client.sent) >= 5)
    await state.drain.cut()
    assert running.done() and running.exception() is None
    status, body = answer(client)
    *events, last, rest = body.split(b"\n\n")
    assert status == 200 and events and not rest
    kind, data = last.split(b"\n")
    assert kind == b"event: error"
    told = json.loads(data.removeprefix(b"data: "))["error"]
    assert told["code"] == "unavailable" and "shutting down" in told["message"]
    assert backend.cancelled == [backend.requests[0].id]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_has_not_begun_to_answer_is_cut_with_a_503(stream: bool) -> None:
    state, backend = scripted_state()
    backend.delay = 30
    client, running = start(state, stream=stream)
    await until(lambda: bool(backend.requests))
    await state.drain.cut()
    assert running.done() and running.exception() is None
    status, body = answer(client)
    assert status == 503 and json.loads(body)["error"]["code"] == "unavailable"
    assert (b"connection", b"close") in client.sent[0]["headers"]
    assert backend.cancelled == [backend.requests[0].id]


async def test_a_client_that_takes_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.draining.LAST_WORDS_SECONDS", 0.1)
    state, _ = scripted_state()
    client, running = start(state, taken=0, stream=True)
    await until(lambda: bool(client.sent))
    await asyncio.wait_for(state.drain.cut(), 5)
    assert not running.done()
    running.cancel()


async def test_a_cancellation_of_another_origin_stays_one() -> None:
    state, backend = scripted_state()
    backend.delay = 30
    _, running = start(state)
    await until(lambda: bool(backend.requests))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert state.drain.n_running == 0
