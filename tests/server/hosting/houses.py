"""Servers with several scripted models, whose loading a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.base import ModelLoadError
from server.chat.template import ChatTemplate, special_tokens
from server.config import Settings
from server.hosting.catalog import ModelSpec
from server.hosting.host import Host
from server.hosting.hosted_model import HostedModel
from server.hosting.opened import Opened
from server.hosting.policy import Limits
from server.state import AppState
from tests.server.routes.client import call, completion
from tests.server.scripted import INFO, TEMPLATE, ScriptedBackend


class House:
    """Several models, called by one letter each, that say their names."""

    def __init__(
        self, names: Sequence[str] = "abc", *, autoload: bool = True, max_queue: int | None = None, **limits: Any
    ) -> None:
        """`limits` are those of the policy. A model's further names are its letter twice."""
        self.seconds: dict[str, float] = {}
        """How long loading takes."""
        self.broken: set[str] = set()
        self.loads: list[str] = []
        self.loaded: set[str] = set()
        self.most_loaded = 0
        self.backends: dict[str, ScriptedBackend] = {}
        settings = Settings(parallel=4)
        specs = [ModelSpec((name, 2 * name), Path(f"{name}.gguf"), settings, stop_timeout=0.2) for name in names]
        models = [HostedModel(spec, self._open, max_queue=max_queue) for spec in specs]
        self.models = dict(zip(names, models, strict=True))
        self.state = AppState(
            host=Host(models, on_demand=True, autoload=autoload, limits=Limits(**limits)), sse_ping_interval=0.05
        )

    async def _open(self, spec: ModelSpec) -> Opened:
        name = spec.names[0]
        self.loads.append(name)
        self.loaded.add(name)
        self.most_loaded = max(self.most_loaded, len(self.loaded))
        try:
            await asyncio.sleep(self.seconds.get(name, 0.01))
            if name in self.broken:
                raise ModelLoadError(f"{name} is broken")
        except BaseException:
            self.loaded.remove(name)
            raise
        backend = self.backends[name] = _Ending(name, self.loaded)
        return Opened(backend, ChatTemplate(TEMPLATE, special_tokens(INFO)))

    def status(self, name: str) -> str:
        return self.models[name].status


class _Ending(ScriptedBackend):
    """Says its name, and takes a moment to end; what it is at then fails."""

    def __init__(self, name: str, loaded: set[str]) -> None:
        super().__init__(lambda index: name * 8)
        self.pace = 0.001
        self.stopped = False
        self._name, self._loaded = name, loaded

    async def stop(self) -> None:
        self.stopped = True
        await asyncio.sleep(0.01)
        self._loaded.remove(self._name)


async def said(house: House, name: str, **fields: Any) -> str:
    response = await completion(house.state, model=name, **fields)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


async def statuses(house: House) -> dict[str, Any]:
    listed = (await call(house.state, "GET", "/v1/models")).json()["data"]
    return {model["id"]: model["status"] for model in listed if len(model["id"]) == 1}
