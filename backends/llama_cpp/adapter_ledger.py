"""Which LoRA adapters the API process has had loaded, who needs them, and getting them into the next engine too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backends.base import AdapterLoadError, AdapterSet, UnknownAdapter

from .adapter_file import check_adapter
from .engine_messages import AdapterLoaded, LoadAdapter, UnloadAdapter

log = logging.getLogger("paddock.engine")


@dataclass
class _Adapter:
    path: Path
    version: tuple[int, int]
    """The file's size and time of change. Another file isn't what was loaded."""
    loaded: asyncio.Future[None]
    uses: int = 0
    """Requests that run with it."""
    retired: bool = False
    """It is freed when the last of them has ended."""


class AdapterLedger:
    def __init__(self, send: Callable[[LoadAdapter | UnloadAdapter], None], model: Path) -> None:
        """`send`: to the engine, if there is one. `model`: the file that they are for."""
        self._send = send
        self._model = model
        self._adapters: dict[int, _Adapter] = {}
        self._next_id = 0

    async def check(self, path: Path) -> tuple[int, int]:
        """The file's version. Raises AdapterLoadError if the engine had better not see it."""

        def checked() -> tuple[int, int]:
            version = _version(path)
            check_adapter(path, self._model)
            _read_through(path)
            return version

        return await asyncio.to_thread(checked)

    async def load(self, path: Path, version: tuple[int, int]) -> int:
        """Have the engine load what was checked; its id. Raises AdapterLoadError."""
        number, self._next_id = self._next_id, self._next_id + 1
        loaded = asyncio.get_running_loop().create_future()
        self._adapters[number] = _Adapter(path, version, loaded)
        self._send(LoadAdapter(number, str(path)))
        try:
            await loaded
        except asyncio.CancelledError:
            self.retire(number)
            raise
        return number

    def answered(self, answer: AdapterLoaded) -> None:
        """An engine has loaded one, or can't."""
        adapter = self._adapters.get(answer.id)
        if adapter is not None and answer.error is not None:
            self._give_up(answer.id, answer.error)
        elif adapter is not None and not adapter.loaded.done():
            adapter.loaded.set_result(None)

    def engine_ended(self) -> None:
        """Those that it was just loading are not tried again: it may have ended because of one."""
        for number, adapter in list(self._adapters.items()):
            if not adapter.loaded.done():
                self._give_up(number, f"the engine ended while it loaded the LoRA adapter {adapter.path}")

    def engine_began(self) -> None:
        """There is another one: it gets the adapters that the last one had, before anything else."""
        for number, adapter in list(self._adapters.items()):
            try:
                changed = _version(adapter.path) != adapter.version
            except AdapterLoadError as error:
                self._give_up(number, str(error))
                continue
            if changed:
                self._give_up(number, f"the file of the LoRA adapter {adapter.path} has changed since it was loaded")
            else:
                self._send(LoadAdapter(number, str(adapter.path)))

    def take(self, adapters: AdapterSet) -> None:
        """A request runs with these, until they are given back. Raises UnknownAdapter."""
        for number, _ in adapters:
            adapter = self._adapters.get(number)
            if adapter is None or adapter.retired or not adapter.loaded.done():
                raise UnknownAdapter(f"there is no LoRA adapter {number}, or it is no longer loaded")
        for number, _ in adapters:
            self._adapters[number].uses += 1

    def give_back(self, adapters: AdapterSet) -> None:
        for number, _ in adapters:
            if number in self._adapters:
                self._adapters[number].uses -= 1
                self._free_if_unneeded(number)

    def retire(self, number: int) -> None:
        """No more requests can have it."""
        if number in self._adapters:
            self._adapters[number].retired = True
            self._free_if_unneeded(number)

    def _free_if_unneeded(self, number: int) -> None:
        if self._adapters[number].retired and not self._adapters[number].uses:
            self._send(UnloadAdapter(number))
            del self._adapters[number]

    def _give_up(self, number: int, reason: str) -> None:
        adapter = self._adapters.pop(number)
        if adapter.loaded.done():
            log.error("%s: requests that need it fail", reason)
        else:
            adapter.loaded.set_exception(AdapterLoadError(reason))


def _read_through(path: Path) -> None:
    """The engine computes nothing while it loads the file: not from a slow disk, then."""
    buffer = bytearray(1 << 20)
    with suppress(OSError), path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def _version(path: Path) -> tuple[int, int]:
    """Raises AdapterLoadError."""
    try:
        status = path.stat()
    except OSError as error:
        raise AdapterLoadError(f"cannot open the LoRA adapter {path}: {error.strerror or error}") from None
    return status.st_size, status.st_mtime_ns
