"""An engine process as the API process holds it, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable

import msgspec

from backends.base import LoadFailed, ModelInfo, ModelLoadError
from backends.engine_options import EngineOptions

from .async_channel import AsyncChannel
from .engine_messages import EngineEvent, LoadProgress

MODULE = "backends.llama_cpp.engine_process"
STOP_TIMEOUT = 10.0
"""Seconds an engine gets to end by itself."""


class EngineHandle:
    """The process dies with this one: its socket ends."""

    def __init__(self, options: EngineOptions) -> None:
        """Start the process; it loads while this one does something else before it awaits `loaded`."""
        self._path = options.model_path
        self._ends_by_itself = False
        parent, child = socket.socketpair()
        with child:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(child.fileno())],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._channel: AsyncChannel[EngineEvent] = AsyncChannel(parent, EngineEvent)
        self._channel.send(options)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def loaded(self, on_progress: Callable[[float], None] = lambda _fraction: None) -> ModelInfo:
        """Wait for the model. Raises ModelLoadError; the process has ended then, whatever is raised."""
        try:
            await self._channel.open()
            while (event := await self._channel.receive()) is not None:
                if isinstance(event, LoadProgress):
                    on_progress(event.fraction)
                elif isinstance(event, LoadFailed):
                    raise ModelLoadError(event.message)
                elif isinstance(event, ModelInfo):
                    self._ends_by_itself = True
                    return event
        except BaseException as error:
            await self.end()
            if isinstance(error, msgspec.DecodeError):
                raise ModelLoadError(f"cannot load {self._path}: the engine process is of another version") from error
            raise
        self._ends_by_itself = True
        raise ModelLoadError(f"cannot load {self._path}: the engine process ended ({await self.end()})")

    def send(self, message: msgspec.Struct) -> None:
        """Dropped if the process is gone: `listen` tells of that."""
        self._channel.send(message)

    async def listen(self, take: Callable[[EngineEvent], None]) -> None:
        """Call `take` with every event, until the process is gone."""
        await self._channel.each(take)

    async def end(self) -> str:
        """Wait for the end of the process, which is killed while it loads, or if it takes too long; how it ended."""
        self._channel.close()
        try:
            await asyncio.to_thread(self._process.wait, STOP_TIMEOUT if self._ends_by_itself else 0.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        status = await asyncio.to_thread(self._process.wait)
        return f"exit status {status}" if status >= 0 else f"signal {-status}"
