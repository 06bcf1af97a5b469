"""A model's LoRA adapters: which there are, under which names, and which of them a request is computed with."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.base import AdapterLoadError, AdapterSet, Backend
from server.access.caller import Caller
from server.config.lora import LoraFile
from server.errors import invalid, unknown_model
from server.schemas.lora import LoraScale

log = logging.getLogger("paddock.models")


@dataclass(eq=False)
class Adapter:
    path: Path
    scale: float
    """With which it is applied to requests that don't say which they want."""
    name: str | None
    """What requests may ask for as a model; None: nothing."""
    id: int
    """In the backend that is loaded, if there is one."""


class ModelAdapters:
    """They outlive the backend: a model that is loaded again has them again."""

    def __init__(self, at_start: Iterable[LoraFile]) -> None:
        """`at_start`: those that the backend loads with the model, in this order."""
        self._at_start = [Adapter(file.path, file.scale, file.name, number) for number, file in enumerate(at_start)]
        self._all = list(self._at_start)
        self._coming: set[str] = set()

    @property
    def names(self) -> list[str]:
        return [adapter.name for adapter in self._all if adapter.name is not None]

    @property
    def coming(self) -> frozenset[str]:
        """The names of those that are being loaded."""
        return frozenset(self._coming)

    def names_of(self, ids: Iterable[int]) -> list[str]:
        """Of those that have one."""
        return [adapter.name for adapter in self._all if adapter.name is not None and adapter.id in ids]

    def path(self, name: str) -> Path:
        """The file of one of `names`."""
        return self._named(name).path

    def visible(self, caller: Caller) -> Iterator[Adapter]:
        """Those that the caller may use: all that have no name of their own, too."""
        for adapter in self._all:
            if adapter.name is None or caller.may_use([adapter.name]):
                yield adapter

    def chosen(self, name: str | None, scales: Sequence[LoraScale], caller: Caller) -> AdapterSet:
        """What a request that names an adapter is computed with, or the model (None); `scales`: what it is computed
        with instead. Raises a 400 for an adapter that isn't here, and a 404 if the name is gone."""
        if scales:
            wanted = self._by_id(scales, caller)
        else:
            wanted = {adapter.id: adapter.scale for adapter in self._all}
            if name is not None:
                wanted[self._named(name).id] = 1.0
        return tuple(sorted((number, scale) for number, scale in wanted.items() if scale))

    def rescale(self, scales: Sequence[LoraScale], caller: Caller) -> None:
        """For all requests from now on that don't say. Those that aren't told of get 0. Raises a 400."""
        wanted = self._by_id(scales, caller)
        for adapter in self._all:
            adapter.scale = wanted.get(adapter.id, 0.0)

    async def load(self, backend: Backend, name: str, path: Path) -> None:
        """Under a name of its own, in whose place no other one is coming; who has it now makes way. Raises
        AdapterLoadError, and EngineUnavailable."""
        self._coming.add(name)
        try:
            number = await backend.load_adapter(str(path))
        finally:
            self._coming.discard(name)
        if name in self.names:
            self.unload(backend, name)
        self._all.append(Adapter(path, 0.0, name, number))

    def unload(self, backend: Backend | None, name: str) -> None:
        """`name` is one of `names`. Requests that run with it go on."""
        adapter = self._named(name)
        self._all.remove(adapter)
        if backend is not None:
            backend.unload_adapter(adapter.id)

    async def opened(self, backend: Backend) -> None:
        """The model has been loaded, with the adapters that it has at the start: give it the present ones."""
        for number, adapter in enumerate(self._at_start):
            if adapter in self._all:
                adapter.id = number
            else:
                backend.unload_adapter(number)
        for adapter in [adapter for adapter in self._all if adapter not in self._at_start]:
            try:
                adapter.id = await backend.load_adapter(str(adapter.path))
            except AdapterLoadError as error:
                log.error("%s: '%s' is no longer served", error, adapter.name)
                if adapter in self._all:
                    self._all.remove(adapter)
            else:
                if adapter not in self._all:  # it has been unloaded meanwhile
                    backend.unload_adapter(adapter.id)

    def _named(self, name: str) -> Adapter:
        for adapter in self._all:
            if adapter.name == name:
                return adapter
        raise unknown_model(name, ())

    def _by_id(self, scales: Sequence[LoraScale], caller: Caller) -> dict[int, float]:
        known = {adapter.id for adapter in self.visible(caller)}
        for each in scales:
            if each.id not in known:
                raise invalid(f"There is no LoRA adapter {each.id}: GET /lora-adapters lists them.", "lora")
        return {each.id: each.scale for each in scales}
