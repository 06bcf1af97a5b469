"""A server's model, got from the Hub for all who wait for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.base import ModelLoadError
from server.hosting.catalog import CatalogError, ModelSpec, catalog
from server.hosting.fetching import Fetching
from tests.server.settings import load_settings

from .hub import Hub, Repo

NAME = "org/model:Q8_0"
FILE = b"GGUF" * 10_000


def spec(*flags: str) -> ModelSpec:
    (found,) = catalog(load_settings([NAME, *flags], {}))
    return found


async def test_whoever_waits_gets_it_and_who_leaves_stops_nothing(hub: Hub) -> None:
    hub.repos["org/model"] = Repo.of({"m-Q8_0.gguf": FILE})
    hub.hold = 1000
    fetching = Fetching()
    waiting = [asyncio.create_task(fetching.fetched(spec())) for _ in range(3)]
    assert await asyncio.to_thread(hub.held.wait, 10)
    assert fetching.busy
    waiting.pop(0).cancel()
    hub.hold = None
    hub.release.set()
    first, second = await asyncio.gather(*waiting)
    assert first == second and first.hub is None
    assert first.path.read_bytes() == FILE
    assert hub.asked.count("GET /api/models/org/model") == 1
    assert not fetching.busy


async def test_it_may_be_tried_again(hub: Hub) -> None:
    fetching = Fetching()
    with pytest.raises(ModelLoadError, match="there is no repository org/model"):
        await fetching.fetched(spec())
    hub.repos["org/model"] = Repo.of({"m-Q8_0.gguf": FILE})
    assert (await fetching.fetched(spec())).path.read_bytes() == FILE


@pytest.mark.usefixtures("hub")
def test_what_a_name_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (spec().names, str(spec().hub)) == ((NAME,), NAME)
    assert spec("--hf-file", "x.gguf").hub != spec().hub
    with pytest.raises(CatalogError, match="--hf-file names a file of a repository"):
        catalog(load_settings(["--hf-file", "x.gguf"], {}))
    monkeypatch.chdir(tmp_path)
    here = tmp_path / NAME
    here.parent.mkdir()
    here.write_bytes(FILE)
    assert (spec().hub, spec().path) == (None, Path(NAME))  # a file comes first
    (of_hub,) = catalog(load_settings(["-hf", NAME], {}))
    assert (of_hub.names, str(of_hub.hub)) == ((NAME,), NAME)
