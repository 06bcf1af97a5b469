"""Loading, unloading and reading again that get in each other's way."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from server.hosting.catalog import ModelSpec
from server.hosting.opened import Opened
from tests.server.hosting.houses import House, said
from tests.server.routes.client import call, completion, error
from tests.server.routes.test_disconnect import until


async def test_a_model_that_is_unloaded_as_soon_as_it_is_loaded() -> None:
    """Whoever had it loaded needs no more of it, and others wait for its place."""
    house = House(max_loaded=1)
    for model in house.models.values():
        house.state.host.begin_loading(model)
    await asyncio.wait_for(said(house, "c"), 5)
    assert house.loads == ["a", "b", "c"] and house.most_loaded == 1


class Slow:
    """Takes its time to find out what a model needs."""

    def __init__(self) -> None:
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def fitted(self, spec: ModelSpec) -> ModelSpec:
        self.begun.set()
        self.goes_on.wait(5)
        return spec


@pytest.mark.parametrize("how", ["unloaded", "gone"])
async def test_what_is_called_off_before_its_load_begins(how: str) -> None:
    house, slow = House("ab"), Slow()
    model = house.models["a"]
    model._fitted = slow.fitted
    waiting = [asyncio.create_task(completion(house.state, model="a")) for _ in range(2)]
    await until(slow.begun.is_set)
    if how == "unloaded":
        await house.state.host.unload(model)
    else:
        await house.state.host.renew([house.models["b"]])
    slow.goes_on.set()
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert [response.status_code for response in answers] == [503, 503] and not house.loads


async def test_a_load_that_is_called_off_twice_is_cleared_up_all_the_same() -> None:
    house = House()
    cleared_up = False

    async def opener(spec: ModelSpec) -> Opened:
        nonlocal cleared_up
        house.loads.append("a")
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0.05)
            cleared_up = True
        raise AssertionError

    house.models["a"]._open = opener
    house.state.host.begin_loading(house.models["a"])
    await until(lambda: house.loads == ["a"])
    unloading = []
    for _ in range(2):
        unloading.append(asyncio.create_task(call(house.state, "POST", "/models/unload", json={"model": "a"})))
        await asyncio.sleep(0.02)
    answers = await asyncio.gather(*unloading)
    assert [response.status_code for response in answers] == [200, 200] and cleared_up


async def test_reading_the_models_again_twice() -> None:
    """What the first has put in place, and is in use, isn't forgotten by the second."""
    house, first, second = House("ab"), House("bc"), House("bd")
    await said(house, "a")
    house.backends["a"].pace = 0.03
    running = asyncio.create_task(said(house, "a"))
    await until(lambda: len(house.backends["a"].requests) == 2)
    host = house.state.host
    renewals = [asyncio.create_task(host.renew([*models.models.values()])) for models in (first, second)]
    await renewals[0]
    host.begin_loading(first.models["c"])
    await asyncio.gather(*renewals, running)
    assert [model.name for model in host.models] == ["b", "d"]
    await until(lambda: not first.loaded)
    assert first.models["c"].retired


async def test_a_new_model_is_called_like_an_adapter(tmp_path: Path) -> None:
    house, later = House("ab"), House("abc")
    await said(house, "b")
    (tmp_path / "c.gguf").write_bytes(b"an adapter")
    await house.models["b"].adapters.load(house.backends["b"], "c", tmp_path / "c.gguf")
    house.state.models_now = lambda: [*later.models.values()]
    response = await call(house.state, "GET", "/v1/models?reload=1")
    assert (response.status_code, error(response)["code"]) == (500, "models_unreadable")
    assert [model.name for model in house.state.host.models] == ["a", "b"] and house.status("b") == "loaded"
    house.models["b"].adapters.unload(house.backends["b"], "c")
    assert (await call(house.state, "GET", "/v1/models?reload=1")).status_code == 200
    assert await said(house, "c") == "c" * 8
