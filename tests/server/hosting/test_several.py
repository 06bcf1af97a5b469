"""Several models at every endpoint: named, not named, allowed or not; loaded, unloaded and read again by hand."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from backends.base import EngineUnavailable
from server.access.key_store import KeyStore
from server.access.keys import Key, hashed
from server.app import create_admin_app, create_app
from server.errors import APIError
from server.hosting import hosted_model
from server.hosting.catalog import CatalogError
from server.hosting.policy import Limits
from tests.server.hosting.houses import House, said
from tests.server.routes.client import call, completion, error, post
from tests.server.routes.test_disconnect import until


async def test_every_endpoint_asks_the_model_that_is_named() -> None:
    house = House()
    for path, fields in (
        ("/tokenize", {"content": "hi"}),
        ("/detokenize", {"tokens": [104]}),
        ("/apply-template", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/completion", {"prompt": "hi"}),
    ):
        house.loads.clear()
        for model in house.models.values():
            if model.state == "loaded":
                await house.state.host.unload(model)
        for name, loaded in (("b", "b"), (None, "a")):
            body = fields if name is None else {"model": name, **fields}
            assert (await call(house.state, "POST", path, json=body)).status_code == 200, path
            assert house.loads.pop() == loaded
        assert (await call(house.state, "POST", path, json={"model": "x", **fields})).status_code == 404
    assert (await call(house.state, "GET", "/slots?model=b")).json()[0]["is_processing"] is False
    assert (await call(house.state, "GET", "/slots?model=c")).status_code == 503
    assert (await call(house.state, "GET", "/props")).json()["role"] == "router"
    assert (await call(house.state, "GET", "/props?model=c")).json()["model_alias"] == "c"


async def test_keys_and_their_models() -> None:
    house = House()
    house.state.keys = KeyStore(
        [
            Key(name="client", sha256=hashed("sk-client"), models=frozenset({"b", "cc"})),
            Key(name="admin", sha256=hashed("sk-admin"), admin=True),
        ]
    )
    client, admin = ({"headers": {"Authorization": f"Bearer sk-{name}"}} for name in ("client", "admin"))
    listed = (await call(house.state, "GET", "/v1/models", **client)).json()["data"]
    assert [(model["id"], model["aliases"]) for model in listed] == [("b", []), ("cc", [])]
    for name, status in (("a", 404), ("bb", 404), ("b", 200), ("cc", 200)):
        body = {"model": name, "prompt": "hi"}
        assert (await call(house.state, "POST", "/v1/completions", json=body, **client)).status_code == status
    assert (await call(house.state, "POST", "/completion", json={"prompt": "hi"}, **client)).json()["model"] == "b"
    for path in ("/models/load", "/models/unload"):
        assert (await call(house.state, "POST", path, json={"model": "b"}, **client)).status_code == 403
    assert (await call(house.state, "POST", "/models/unload", json={"model": "b"}, **admin)).status_code == 200


async def test_unloading_lets_requests_end() -> None:
    house = House()
    await said(house, "a")
    running = asyncio.create_task(said(house, "a"))
    await until(lambda: len(house.backends["a"].requests) == 2)
    assert (await call(house.state, "POST", "/models/unload", json={"model": "a"})).json() == {"success": True}
    assert await running == "a" * 8
    assert (house.status("a"), house.loaded) == ("unloaded", set())
    response = await call(house.state, "POST", "/models/unload", json={"model": "a"})
    assert (response.status_code, error(response)["code"]) == (400, "model_not_loaded")
    assert await said(house, "a") == "a" * 8


async def test_unloading_does_not_wait_for_ever() -> None:
    house = House()
    await said(house, "a")
    backend = house.backends["a"]
    backend.pace = 0.2
    backend.failure = EngineUnavailable("the server is being stopped")
    running = asyncio.create_task(completion(house.state, model="a"))
    await until(lambda: len(backend.requests) == 2)
    unloading = asyncio.create_task(call(house.state, "POST", "/models/unload", json={"model": "a"}))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(said(house, "a"))
    assert (await unloading).json() == {"success": True}
    assert backend.stopped
    assert await waiting == "a" * 8, "who came meanwhile has it loaded again"
    await running


async def test_a_load_that_is_called_off() -> None:
    house = House()
    house.seconds["a"] = 5
    waiting = asyncio.create_task(completion(house.state, model="a"))
    await until(lambda: house.loads == ["a"])
    response = await call(house.state, "POST", "/models/load", json={"model": "a"})
    assert (response.status_code, error(response)["code"]) == (400, "model_running")
    assert (await call(house.state, "POST", "/models/unload", json={"model": "a"})).json() == {"success": True}
    assert (await waiting).status_code == 503
    assert (house.status("a"), house.loaded) == ("unloaded", set())


async def test_without_autoload() -> None:
    house = House(autoload=False, idle_after=0.05)
    response = await completion(house.state, model="a")
    assert (response.status_code, error(response)["code"]) == (400, "model_not_loaded")
    assert (await call(house.state, "GET", "/props?model=a")).status_code == 400
    assert (await post(house.state, "/v1/completions?autoload=true", model="a", prompt="hi")).status_code == 200
    await until(lambda: house.status("a") == "sleeping")
    assert await said(house, "a") == "a" * 8, "who sleeps is woken"
    assert (await post(House().state, "/v1/completions?autoload=false", model="a", prompt="x")).status_code == 400


async def test_with_an_admin_port_and_without_keys_only_that_reads_again() -> None:
    house, later = House("ab"), House("bc")
    house.state.admin_apart = True
    house.state.models_now = lambda: [*later.models.values()]

    async def ids(app: Starlette) -> list[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [model["id"] for model in (await client.get("/v1/models?reload=1")).json()["data"]]

    assert await ids(create_app(house.state)) == ["a", "aa", "b", "bb"]
    assert await ids(create_admin_app(house.state)) == ["b", "bb", "c", "cc"]
    house.state.models_now = list
    assert (await call(house.state, "GET", "/v1/models?reload=0")).json()["data"]


async def test_the_models_read_again() -> None:
    """What is as before goes on, what is gone is unloaded, what is new can be asked."""
    house, later = House("ab"), House("bc")
    for name in "ab":
        await said(house, name)
    house.models["b"]._used = 5.0
    house.state.models_now = lambda: [*later.models.values()]
    listed = (await call(house.state, "GET", "/v1/models?reload=1")).json()["data"]
    assert [(model["id"], model["status"]["value"]) for model in listed] == [
        ("b", "loaded"),
        ("bb", "loaded"),
        ("c", "unloaded"),
        ("cc", "unloaded"),
    ]
    assert house.loaded == {"b"}
    assert (await completion(house.state, model="a")).status_code == 404
    assert await said(house, "c") == "c" * 8 and later.loads == ["c"]
    house.state.host.limits = Limits(1)
    house.state.host.review()
    assert await said(house, "b") == "b" * 8

    def unreadable() -> list[hosted_model.HostedModel]:
        raise CatalogError("cannot read it")

    house.state.models_now = unreadable
    response = await call(house.state, "GET", "/v1/models?reload=1")
    assert (response.status_code, error(response)["code"]) == (500, "models_unreadable")
    house.state.keys = KeyStore([Key(name="client", sha256=hashed("sk-client"))])
    headers = {"Authorization": "Bearer sk-client"}
    assert (await call(house.state, "GET", "/v1/models?reload=1", headers=headers)).status_code == 403
    assert (await call(house.state, "GET", "/v1/models", headers=headers)).status_code == 200


async def test_a_model_that_is_no_more() -> None:
    house = House("ab")
    model = house.models["a"]
    house.seconds["a"] = 5
    waiting = asyncio.create_task(completion(house.state, model="a"))
    await until(lambda: house.loads == ["a"])
    await house.state.host.renew([house.models["b"]])
    assert (await waiting).status_code == 503
    assert model.retired and house.loaded == set()
    with model.use() as use, pytest.raises(APIError, match="read again"):
        await model.admit(use)


async def test_metrics_of_each_model() -> None:
    house = House(max_loaded=1)
    await said(house, "a")
    await said(house, "b")

    def value(name: str, model: str) -> float | None:
        labels = {"model_name": model, **({"key": ""} if name.endswith("tokens_total") else {})}
        return house.state.metrics.registry.get_sample_value(f"paddock_{name}", labels)

    assert [value("generation_tokens_total", name) for name in "abc"] == [8, 8, 0]
    assert [value("model_loaded", name) for name in "abc"] == [0, 1, 0]
    assert [value("engine_ready", name) for name in "abc"] == [None, 1, None]
    assert [value("engine_steps_total", name) for name in "abc"] == [0, 0, None]


async def test_counters_go_on_after_an_unload() -> None:
    house = House()
    await said(house, "a")
    stats = type(house.backends["a"].stats)
    house.backends["a"].stats = stats(steps=5, running=3)
    await house.state.host.unload(house.models["a"])
    assert house.models["a"].stats == stats(steps=5)
    await said(house, "a")
    house.backends["a"].stats = stats(steps=2)
    assert house.models["a"].stats == stats(steps=7)
