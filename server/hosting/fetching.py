"""A model's file, got from the Hub before the model is loaded, while the server answers."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from backends.base import ModelLoadError
from server.hosting.catalog import ModelSpec
from server.hub.name import HubAccess, HubName
from server.model_source import ModelNotFound, hub_model

log = logging.getLogger("paddock")


class Fetching:
    """Of one model: once for all who wait for it, and to the end if they leave."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Path] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    async def fetched(self, spec: ModelSpec) -> ModelSpec:
        """The same model, with its file on this machine. Raises ModelLoadError."""
        if spec.hub is None:
            return spec
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(_path_of(spec.hub, spec.settings.hub_access()))
        try:
            return replace(spec, path=await asyncio.shield(self._task), hub=None)
        except ModelNotFound as error:
            raise ModelLoadError(str(error)) from None


async def _path_of(name: HubName, access: HubAccess) -> Path:
    """`hub_model` on a thread that nobody waits for when the server ends: the next one goes on where it was."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Path] = loop.create_future()

    def settle(path: Path | None, error: BaseException | None) -> None:
        if found.done():  # cancelled
            return
        if path is not None:
            found.set_result(path)
        elif error is not None:
            found.set_exception(error)

    def fetch() -> None:
        path, raised = None, None
        try:
            path = hub_model(name, access, log.info)
        except BaseException as error:
            raised = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, path, raised)

    threading.Thread(target=fetch, name="hub", daemon=True).start()
    return await found
