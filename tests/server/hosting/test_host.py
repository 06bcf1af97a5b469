"""Models that are loaded when they are needed, and make room for each other; their backends are scripted."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest

from server.hosting import hosted_model
from tests.server.hosting.houses import House, said, statuses
from tests.server.routes.client import call, chat, chunks, completion, error
from tests.server.routes.test_disconnect import until


async def test_a_model_is_loaded_once_at_its_first_use() -> None:
    house = House()
    assert {name: status["value"] for name, status in (await statuses(house)).items()} == dict.fromkeys(
        "abc", "unloaded"
    )
    assert await asyncio.gather(*(said(house, "a") for _ in range(5))) == ["a" * 8] * 5
    assert await said(house, "bb") == "b" * 8
    assert (await chat(house.state, model="a")).json()["choices"][0]["message"]["content"] == "a" * 8
    assert house.loads == ["a", "b"]
    assert (await statuses(house))["a"] == {"value": "loaded"}
    model = (await call(house.state, "GET", "/v1/models/aa")).json()
    assert (model["aliases"], model["meta"]["n_ctx"]) == (["a"], 64)
    assert "meta" not in (await call(house.state, "GET", "/v1/models/c")).json()


async def test_the_least_recently_used_one_makes_room() -> None:
    house = House(max_loaded=2)
    for name in "abac":
        assert await said(house, name) == name * 8
    assert [house.status(name) for name in "abc"] == ["loaded", "unloaded", "loaded"]
    assert house.most_loaded == 2


async def test_many_clients_of_more_models_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_model, "SHORTEST_TURN", 0.02)
    house, dice = House(max_loaded=1), random.Random(7)

    async def client() -> None:
        for _ in range(5):
            name = dice.choice("abc")
            if dice.random() < 0.5:
                events = chunks(await completion(house.state, model=name, stream=True))
                text = "".join(choice["text"] for event in events for choice in event["choices"])
                assert text == name * 8
            else:
                assert await said(house, name) == name * 8

    await asyncio.gather(*(client() for _ in range(6)))
    assert house.most_loaded == 1
    assert len(house.loads) > 3


async def test_who_runs_is_not_unloaded_and_others_wait_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_model, "SHORTEST_TURN", 0.05)
    house = House(max_loaded=1)
    await said(house, "a")
    house.backends["a"].pace = 0.05
    slow = asyncio.create_task(said(house, "a"))
    await asyncio.sleep(0.1)
    other = asyncio.create_task(said(house, "b"))
    await asyncio.sleep(0.1)
    late = asyncio.create_task(said(house, "a"))  # its turn is over: who comes now waits for the next
    assert await slow == "a" * 8 and not other.done()
    assert await other == "b" * 8 and not late.done()
    assert await late == "a" * 8
    assert house.loads == ["a", "b", "a"]


async def test_a_turn_goes_on_if_whoever_waits_for_its_end_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_model, "SHORTEST_TURN", 0.0)
    house = House(max_loaded=1)
    await said(house, "a")
    house.backends["a"].pace = 0.1
    slow = asyncio.create_task(said(house, "a"))
    await asyncio.sleep(0.02)
    other = asyncio.create_task(said(house, "b"))
    await until(lambda: house.models["a"].closed)
    late = asyncio.create_task(said(house, "a"))
    await asyncio.sleep(0.02)
    assert len(house.backends["a"].requests) == 2
    other.cancel()
    await until(lambda: len(house.backends["a"].requests) == 3)
    assert await slow == await late == "a" * 8
    assert house.loads == ["a"]


async def test_a_model_that_cant_be_loaded_touches_no_other() -> None:
    house = House()
    house.broken = {"b"}
    await said(house, "a")
    for _ in range(3):
        response = await completion(house.state, model="b")
        assert (response.status_code, error(response)["code"]) == (500, "model_load_failed")
        assert error(response)["message"] == "The model can't be loaded: b is broken"
        assert response.headers["x-should-retry"] == "false"
    assert house.loads == ["a", "b"], "it is not tried again at once"
    assert (await statuses(house))["b"] == {"value": "unloaded", "failed": True, "error": "b is broken"}
    assert await said(house, "a") == "a" * 8

    house.broken = set()
    assert (await call(house.state, "POST", "/models/load", json={"model": "b"})).json() == {"success": True}
    await until(lambda: house.status("b") == "loaded")
    assert (await statuses(house))["b"] == {"value": "loaded"}
    assert await said(house, "b") == "b" * 8


async def test_requests_try_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_model, "RETRY_SECONDS", (0.05,))
    house = House()
    house.broken = {"a"}
    assert (await completion(house.state, model="a")).status_code == 500
    house.broken = set()
    await asyncio.sleep(0.06)
    assert await said(house, "a") == "a" * 8


async def test_a_mistake_while_loading_is_a_failed_load(caplog: pytest.LogCaptureFixture) -> None:
    house = House()

    async def fails(spec: object) -> Any:
        raise ZeroDivisionError("secret")

    house.models["a"]._open = fails
    assert error(await completion(house.state, model="a"))["message"].endswith("cannot load a.gguf: ZeroDivisionError")
    assert any(record.exc_info for record in caplog.records)


async def test_sleep() -> None:
    house = House(idle_after=60)
    model = house.models["a"]
    await said(house, "a")
    model._users.last -= 50
    await said(house, "a")
    model._users.last -= 50
    house.state.host.review()
    assert model.state == "loaded", "it has been used since"
    for path in ("/health", "/props?model=a", "/v1/models", "/metrics", "/slots?model=a"):
        assert (await call(house.state, "GET", path)).status_code == 200
    model._users.last -= 20
    house.state.host.review()
    assert model.state == "stopping", "those that watch don't count"
    await until(lambda: house.status("a") == "sleeping")
    for path in ("/health", "/props?model=a", "/v1/models", "/metrics", "/slots?model=a"):
        assert (await call(house.state, "GET", path)).status_code == 200
    props = (await call(house.state, "GET", "/props?model=a")).json()
    assert (props["is_sleeping"], props["bos_token"], props["total_slots"]) == (True, "<s>", 4)
    assert props["chat_template"] and props["chat_template_caps"]["supports_system_role"]
    assert (house.status("a"), house.loads) == ("sleeping", ["a"])
    assert await said(house, "a") == "a" * 8
    assert (await call(house.state, "GET", "/props?model=a")).json()["is_sleeping"] is False


async def test_time_to_sleep_comes_by_itself_and_not_while_something_runs() -> None:
    house = House(idle_after=0.05)
    await said(house, "a")
    await until(lambda: house.status("a") == "sleeping")
    waking = asyncio.create_task(said(house, "a"))
    await until(lambda: len(house.loads) == 2 and house.models["a"].state == "loaded")
    house.backends["a"].pace = 0.03
    assert await waking == "a" * 8
    assert house.loads == ["a", "a"]


async def test_a_failure_of_many_requests_is_one() -> None:
    house = House()
    house.broken = {"a"}
    answers = await asyncio.gather(*(completion(house.state, model="a") for _ in range(4)))
    assert [response.status_code for response in answers] == [500] * 4
    failure = house.models["a"].failure
    assert house.loads == ["a"] and failure is not None and failure.n == 1


async def test_unloading_ends_though_somebody_has_it_loaded_again_at_once() -> None:
    house = House()
    model, host = house.models["a"], house.state.host
    await said(house, "a")

    async def woken_first() -> None:
        await model.gone.wait()
        host._start(model, model.load())

    first = asyncio.create_task(woken_first())
    await asyncio.sleep(0)
    await asyncio.wait_for(host.unload(model), 1)
    await first
    assert await said(house, "a") == "a" * 8
    assert house.loads == ["a", "a"]


async def test_what_a_model_leaves_behind_goes_with_the_next_load() -> None:
    """It is kept out of sight of the garbage collector while it is there."""
    house = House()
    try:
        await said(house, "a")
        backend = house.backends.pop("a")
        backend.own = backend  # type: ignore[attr-defined]  # nothing but the collector can free it
        left = weakref.ref(backend)
        del backend
        await house.state.host.unload(house.models["a"])
        assert left() is not None
        await said(house, "b")
        await until(lambda: left() is None)
    finally:
        gc.unfreeze()
