"""Who takes turns at a load: servers, started anew for each turn or staying, and programs that need no server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter, process_time
from typing import Protocol

from .limits import LimitProgram
from .loads.base import Figures, Limit, Load
from .peers import Peer, Setup
from .prompts import Prompts, user
from .results import Run
from .server_process import ServerProcess, running


class Contestant(Protocol):
    @property
    def name(self) -> str: ...

    async def open(self) -> None:
        """Before the first turn."""
        ...

    async def turn(self, load: Load, prompts: Prompts, seconds: float) -> Run:
        """Run the load, within so many seconds. Raises what the load raises, and TimeoutError."""
        ...

    async def idle_share(self) -> float:
        """Of a core, which it uses while it isn't its turn, once it has settled."""
        ...

    async def close(self) -> None:
        """After the last turn, or a failed one; may be called again."""
        ...


class Server:
    """A peer."""

    def __init__(self, peer: Peer, setup: Setup, load: Load) -> None:
        self.name = peer.name
        self._peer = peer
        self._setup = setup
        self._fresh = load.fresh
        self._warm_up = load.warm_up
        self._stack = AsyncExitStack()
        self.process: ServerProcess | None = None
        """The one that stays."""

    async def open(self) -> None:
        if not self._fresh:
            self.process = await self._stack.enter_async_context(self._started())

    async def turn(self, load: Load, prompts: Prompts, seconds: float) -> Run:
        if self.process:
            return await _timed(self.name, load.run(self.process, prompts), seconds)
        async with self._started() as process:
            return await _timed(self.name, load.run(process, prompts), seconds)

    async def idle_share(self) -> float:
        return await self.process.settled() if self.process else 0.0

    async def close(self) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[ServerProcess]:
        async with running(self._peer, self._setup) as process:
            if self._warm_up:
                await process.chat([user("one two three")], 4)
            yield process


class Program:
    """What tells how fast the kernels are."""

    def __init__(self, program: LimitProgram, setup: Setup, limit: Limit) -> None:
        self.name = program.name
        self._program = program
        self._setup = setup
        self._limit = limit

    async def open(self) -> None:
        pass

    async def turn(self, load: Load, prompts: Prompts, seconds: float) -> Run:
        return await _timed(self.name, self._figures(), seconds)

    async def idle_share(self) -> float:
        return 0.0

    async def close(self) -> None:
        pass

    async def _figures(self) -> Figures:
        return {self._limit.measure: await self._program.speed(self._limit, self._setup)}


async def _timed(name: str, work: Awaitable[Figures], seconds: float) -> Run:
    async with asyncio.timeout(seconds):
        started, used = perf_counter(), process_time()
        figures = await work
    took = perf_counter() - started
    return Run(name, figures, took, client_share=(process_time() - used) / took)
