"""Requests that wait for their model, and hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server import sse
from server.app import create_app
from tests.server.hosting.houses import House, said
from tests.server.routes.client import call, chunks, completion, error
from tests.server.routes.test_disconnect import Client, until


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams begin before they have anything to say."""
    monkeypatch.setattr(sse, "PATIENCE", 0.05)


async def test_streams_that_wait_get_pings(soon: None) -> None:
    house = House()
    house.seconds["a"] = 0.4
    response = await completion(house.state, model="a", stream=True)
    assert response.text.count(": ping") >= 3
    assert "".join(event["choices"][0]["text"] for event in chunks(response)) == "a" * 8


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/completion", "/infill"])
async def test_what_fails_after_the_pings_is_an_event(path: str, soon: None) -> None:
    house = House()
    house.seconds["a"], house.broken = 0.2, {"a"}
    fields = {"messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "input_prefix": "", "input_suffix": ""}
    response = await call(house.state, "POST", path, json={"model": "a", "stream": True, **fields})
    assert response.status_code == 200
    assert 'event: error\ndata: {"error":{"message":"The model can\'t be loaded: a is broken"' in response.text


async def test_what_is_refused_soon_has_its_status_even_in_a_stream() -> None:
    house = House()
    response = await completion(house.state, model="a", stream=True, prompt="x" * 99)
    assert (response.status_code, error(response)["code"]) == (400, "context_length_exceeded")


async def test_waiting_ends_at_the_deadline() -> None:
    house = House()
    house.seconds["a"], house.state.request_timeout = 5, 0.05
    assert (await completion(house.state, model="a")).status_code == 504
    assert (await completion(house.state, model="a", stream=True)).status_code == 504
    assert not house.models["a"].standing().waiting_since


async def test_waiting_ends_when_the_client_goes_away() -> None:
    house = House(max_loaded=1)
    await said(house, "a")
    house.backends["a"].pace = 0.05
    slow = asyncio.create_task(said(house, "a"))
    await asyncio.sleep(0.02)
    client = Client("/v1/completions", {"model": "b", "prompt": "hi", "stream": True})
    running = asyncio.ensure_future(create_app(house.state)(client.scope, client.receive, client.send))  # type: ignore[arg-type]
    await until(lambda: house.status("b") == "loading")
    client.gone.set()
    await asyncio.wait_for(running, 1)
    assert house.status("b") == "unloaded"
    await slow
    await asyncio.sleep(0.05)
    assert house.loads == ["a"], "nobody waits for b any more"


async def test_no_more_wait_than_may() -> None:
    house = House(max_queue=2)
    house.seconds["a"] = 0.2
    running = [asyncio.create_task(completion(house.state, model="a")) for _ in range(8)]  # 4 slots, 2 in the queue
    answers = [response.status_code for response in await asyncio.gather(*running)]
    assert sorted(answers) == [200] * 6 + [429] * 2
    assert await said(house, "a") == "a" * 8


def is_running(house: House, name: str) -> Callable[[], bool]:
    return lambda: house.models[name].standing().running > 0


async def test_a_request_holds_its_model_until_its_answer_is_sent() -> None:
    house = House()
    await said(house, "a")
    house.backends["a"].pace = 0.02
    client = Client("/v1/completions", {"model": "a", "prompt": "hi", "stream": True})
    running = asyncio.ensure_future(create_app(house.state)(client.scope, client.receive, client.send))  # type: ignore[arg-type]
    await until(is_running(house, "a"))
    await until(lambda: len(client.sent) > 3)
    assert is_running(house, "a")()
    client.gone.set()
    await running
    assert not is_running(house, "a")()


async def test_the_end_of_the_server() -> None:
    house = House()
    await said(house, "a")
    house.seconds["b"] = 5
    waiting = asyncio.create_task(completion(house.state, model="b"))
    await until(lambda: "b" in house.loaded)
    await house.state.host.stop()
    assert house.loaded == set()
    assert (await waiting).status_code == 503
