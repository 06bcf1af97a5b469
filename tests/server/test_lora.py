"""LoRA adapters as the server knows them: settings, names, who may do what, and models that are loaded again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.base import EngineStats
from server.access.key_store import KeyStore
from server.access.keys import Key, hashed
from server.command_line import UsageError
from server.config import Settings
from server.config.lora import LoraModule
from server.hosting.catalog import CatalogError, ModelSpec, catalog
from server.hosting.hosted_model import HostedModel
from server.hosting.opened import Opened
from server.state import AppState
from tests.server.routes.client import call, completion, error, post
from tests.server.scripted import ScriptedBackend, never, scripted_state
from tests.server.settings import load_settings


def adapted(folder: Path, *, lora_dir: bool = True) -> tuple[AppState, ScriptedBackend]:
    """A server with an adapter for every request, `sql`, and a folder of more."""
    for name in ("everywhere", "sql", "new"):
        (folder / f"{name}.gguf").write_bytes(b"an adapter")
    (folder / "none.gguf").write_bytes(b"something else")
    state, backend = scripted_state()
    settings = Settings(
        lora_scaled=((f"{folder}/everywhere.gguf", 0.5),),
        lora_modules=(LoraModule("sql", f"{folder}/sql.gguf"),),
        lora_dir=str(folder) if lora_dir else None,
        parallel=4,
    )
    opened = state.host.models[0]._in_place
    model = HostedModel(ModelSpec(("m",), Path("m.gguf"), settings), never)
    backend.n_adapters = 2
    model.put_in_place(opened)
    state.host.models[0] = model
    return state, backend


async def test_requests_get_the_adapters_that_they_name(tmp_path: Path) -> None:
    state, backend = adapted(tmp_path)
    for fields in (
        {},
        {"model": "sql"},
        {"lora": [{"id": 1, "scale": 2}, {"id": 0, "scale": 0}]},
        {"model": "sql", "lora": [{"id": 0, "scale": -1}, {"id": 0, "scale": 1}]},
        {"lora": []},
    ):
        assert (await completion(state, **fields)).status_code == 200
    for path in ("/v1/chat/completions", "/completion", "/infill"):
        body = {"messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "input_prefix": "", "input_suffix": ""}
        assert (await post(state, path, model="sql", **body)).status_code == 200
    every, sql = (0, 0.5), (1, 1.0)
    assert [request.adapters for request in backend.requests] == [
        (every,), (every, sql), ((1, 2.0),), ((0, 1.0),), (every,), *[(every, sql)] * 3
    ]  # fmt: skip


async def test_without_adapters_requests_are_as_they_were() -> None:
    state, backend = scripted_state()
    await completion(state)
    assert backend.requests[0].adapters == ()
    refused = await completion(state, lora=[{"id": 0, "scale": 1}])
    assert (refused.status_code, error(refused)["param"]) == (400, "lora")
    assert (await call(state, "GET", "/lora-adapters")).json() == []


@pytest.mark.parametrize(
    "lora", [{}, "sql", [1], [{"id": 0}], [{"scale": 1}], [{"id": -1, "scale": 1}], [{"id": 0, "scale": 1e39}]]
)
async def test_what_is_no_list_of_scales_is_refused(tmp_path: Path, lora: object) -> None:
    state, _ = adapted(tmp_path)
    for refused in (await completion(state, lora=lora), await call(state, "POST", "/lora-adapters", json=lora)):
        assert refused.status_code == 400, refused.text


async def test_loading(tmp_path: Path) -> None:
    state, backend = adapted(tmp_path)
    loaded = await post(state, "/v1/load_lora_adapter", lora_name="new", lora_path="new.gguf")
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'new' added successfully.")
    listed = (await call(state, "GET", "/v1/models")).json()["data"]
    assert [(model["id"], model.get("parent"), model.get("root")) for model in listed] == [
        ("m", None, None),
        ("sql", "m", str(tmp_path / "sql.gguf")),
        ("new", "m", str(tmp_path / "new.gguf")),
    ]
    await completion(state, model="new")
    assert backend.requests[-1].adapters == ((0, 0.5), (2, 1.0))
    (tmp_path / "circle.gguf").symlink_to("circle.gguf")
    for name, path, status in (
        ("new", "new.gguf", 400),
        ("m", "new.gguf", 400),
        ("", "new.gguf", 400),
        ("x,y", "new.gguf", 400),
        (" x", "new.gguf", 400),
        ("x\n", "new.gguf", 400),
        ("x", "none.gguf", 400),
        ("x", "gone.gguf", 404),
        ("x", ".", 404),
        ("x", "..", 404),
        ("x", "a\0b", 404),
        ("x", "long" * 100, 404),
        ("x", "circle.gguf", 404),
    ):
        refused = await post(state, "/v1/load_lora_adapter", lora_name=name, lora_path=path)
        assert refused.status_code == status, (name, path, refused.text)
    again = await post(state, "/v1/load_lora_adapter", lora_name="sql", lora_path="new.gguf", load_inplace=True)
    assert again.status_code == 200 and backend.unloaded == [1]
    unloaded = await post(state, "/v1/unload_lora_adapter", lora_name="new")
    assert (unloaded.status_code, unloaded.text) == (200, "Success: LoRA adapter 'new' removed successfully.")
    assert backend.unloaded == [1, 2]
    for name, status in (("new", 404), ("m", 400)):
        assert (await post(state, "/v1/unload_lora_adapter", lora_name=name)).status_code == status
    assert (await completion(state, model="new")).status_code == 404


async def test_nothing_is_loaded_over_http_unless_a_folder_is_named(tmp_path: Path) -> None:
    state, _ = adapted(tmp_path, lora_dir=False)
    refused = await post(state, "/v1/load_lora_adapter", lora_name="new", lora_path=str(tmp_path / "new.gguf"))
    assert refused.status_code == 403 and "--lora-dir" in error(refused)["message"]


async def test_keys(tmp_path: Path) -> None:
    """What changes others' answers takes an admin key; a key that is for some models is for some adapters too."""
    state, _ = adapted(tmp_path)
    state.keys = KeyStore(
        [
            Key(name="all", sha256=hashed("sk-all")),
            Key(name="some", sha256=hashed("sk-some"), models=("m",)),
            Key(name="sql", sha256=hashed("sk-sql"), models=("sql",)),
            Key(name="admin", sha256=hashed("sk-admin"), admin=True),
        ]
    )

    async def asked(key: str, method: str, path: str, body: object = None) -> int:
        headers = {"Authorization": f"Bearer sk-{key}"}
        return (await call(state, method, path, json=body, headers=headers)).status_code

    without = {"model": "sql", "prompt": "hi", "lora": [{"id": 1, "scale": 0}]}
    assert [await asked(key, "POST", "/v1/completions", without) for key in ("all", "some", "sql")] == [200, 404, 400]
    assert await asked("sql", "POST", "/v1/completions", {"model": "sql", "prompt": "hi"}) == 200
    orders = [
        ("/v1/load_lora_adapter", {"lora_name": "new", "lora_path": "new.gguf"}),
        ("/v1/unload_lora_adapter", {"lora_name": "new"}),
        ("/lora-adapters", [{"id": 1, "scale": 1}]),
    ]
    for path, body in orders:
        assert [await asked(key, "POST", path, body) for key in ("all", "some", "admin")] == [403, 403, 200]
    prompt = {"prompt": "hi", "model": "m"}
    assert await asked("all", "POST", "/v1/completions", {**prompt, "model": "sql"}) == 200
    assert await asked("some", "POST", "/v1/completions", {**prompt, "model": "sql"}) == 404
    assert await asked("some", "POST", "/v1/completions", {**prompt, "lora": [{"id": 0, "scale": 1}]}) == 200
    assert await asked("some", "POST", "/v1/completions", {**prompt, "lora": [{"id": 1, "scale": 1}]}) == 400
    headers = {"Authorization": "Bearer sk-some"}
    assert [each["id"] for each in (await call(state, "GET", "/lora-adapters", headers=headers)).json()] == [0]


async def test_gateways_are_told_who_uses_which(tmp_path: Path) -> None:
    state, backend = adapted(tmp_path)
    await post(state, "/v1/load_lora_adapter", lora_name="new", lora_path="new.gguf")
    backend.stats = EngineStats(running_adapters=[0, 2], waiting_adapters=[1])
    told = (await call(state, "GET", "/metrics")).text
    labels = 'max_lora="4",model_name="m",running_lora_adapters="new",waiting_lora_adapters="sql"'
    assert f"paddock_lora_requests_info{{{labels}}}" in told


async def test_a_model_that_is_loaded_again_has_its_adapters_again(tmp_path: Path) -> None:
    state, _ = adapted(tmp_path)
    (tmp_path / "other.gguf").write_bytes(b"an adapter")
    for name in ("new", "other"):
        await post(state, "/v1/load_lora_adapter", lora_name=name, lora_path=f"{name}.gguf")
    await post(state, "/v1/unload_lora_adapter", lora_name="sql")
    (tmp_path / "other.gguf").write_bytes(b"something else")
    fresh = ScriptedBackend(lambda index: "hello")
    fresh.n_adapters = 2
    model = state.host.models[0]
    await model.adapters.opened(fresh)
    model.put_in_place(Opened(fresh, None))
    assert model.adapters.names == ["new"] and fresh.unloaded == [1]
    await completion(state, model="new")
    assert fresh.requests[0].adapters == ((0, 0.5), (2, 1.0))


@pytest.mark.parametrize("written", [b"an adapter", b"something else"])
async def test_an_adapter_is_unloaded_while_its_model_is_loaded_again(tmp_path: Path, written: bytes) -> None:
    state, _ = adapted(tmp_path)
    await post(state, "/v1/load_lora_adapter", lora_name="new", lora_path="new.gguf")
    (tmp_path / "new.gguf").write_bytes(written)
    fresh, adapters = ScriptedBackend(lambda index: "hello"), state.host.models[0].adapters
    fresh.n_adapters = 2
    loading = asyncio.create_task(adapters.opened(fresh))
    await asyncio.sleep(0)
    adapters.unload(None, "new")
    await loading
    assert adapters.names == ["sql"] and fresh.unloaded == ([2] if written == b"an adapter" else [])


async def test_a_model_that_takes_no_new_requests_has_its_adapter_unloaded(tmp_path: Path) -> None:
    state, backend = adapted(tmp_path)
    state.host.models[0].closed = True
    assert (await post(state, "/v1/unload_lora_adapter", lora_name="sql")).status_code == 200
    assert backend.unloaded == [1]


def test_settings() -> None:
    flags = ["--lora", "a.gguf,b.gguf", "--lora", "c.gguf", "--lora-scaled", "d:1.gguf:0.5,e.gguf:-1"]
    modules = ["--lora-modules", "x=x.gguf,y=y.gguf", "--lora-modules", '{"name": "z", "path": "z.gguf"}']
    settings = load_settings([*flags, *modules], {})
    files = [(str(file.path), file.scale, file.name) for file in settings.lora_files(("m",))]
    assert files == [
        ("a.gguf", 1.0, None),
        ("b.gguf", 1.0, None),
        ("c.gguf", 1.0, None),
        ("d:1.gguf", 0.5, None),
        ("e.gguf", -1.0, None),
        ("x.gguf", 0.0, "x"),
        ("y.gguf", 0.0, "y"),
        ("z.gguf", 0.0, "z"),
    ]
    off = load_settings([*flags, "--lora-init-without-apply"], {})
    assert {file.scale for file in off.lora_files(("m",))} == {0.0}
    listed = (
        '[{"name": "x", "path": "x.gguf", "base_model_name": "m"}, {"name": "y", "path": "y", "base_model_name": "n"}]'
    )
    of_one = load_settings([], {"PADDOCK_LORA_MODULES": listed})
    assert [file.name for file in of_one.lora_files(("m", "alias"))] == ["x"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--lora-scaled", "a.gguf"],
        ["--lora-scaled", "a.gguf:much"],
        ["--lora-scaled", "a.gguf:nan"],
        ["--lora-modules", "a.gguf"],
        ["--lora-modules", "=a.gguf"],
        ["--lora-modules", "{}"],
        ["--lora-modules", '{"name": 1, "path": "x"}'],
        ["--lora-modules", '{"name": "a"'],
        ["--lora-modules", '{"name": "a", "path": "x", "base": "m"}'],
    ],
)
def test_settings_that_are_none(flags: list[str]) -> None:
    with pytest.raises(UsageError, match=flags[0]):
        load_settings(flags, {})


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ((LoraModule("m", "x"),), "both called m"),
        ((LoraModule("x", "x"), LoraModule("x", "y")), "two LoRA adapters are called x"),
        ((LoraModule("x", "x", "other"),), "for other, which isn't here"),
    ],
)
def test_names_that_mean_two_things(tmp_path: Path, modules: tuple[LoraModule, ...], reason: str) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(CatalogError, match=reason):
        catalog(Settings(model=(str(tmp_path / "m.gguf"),), lora_modules=modules))
