"""The API process's side of the engine: send requests, hand their events out, and keep an engine running.

When the engine process dies, another one is started, and what was in flight goes on there: each request is sent again,
with the tokens that have come of it (`in_flight.py`), in an order that tells which one is to blame if that engine dies
too (`blame.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from backends.base import (
    BackendError,
    ContextLengthExceeded,
    EngineStats,
    EngineUnavailable,
    GenerateRequest,
    GenerationEvent,
    InvalidGrammar,
    InvalidRequest,
    ModelInfo,
    ModelLoadError,
    PromptProgress,
    TokenChunk,
    UnknownAdapter,
)
from backends.engine_options import EngineOptions

from .adapter_ledger import AdapterLedger
from .backoff import Backoff
from .blame import Dispatch
from .engine_handle import EngineHandle
from .engine_messages import (
    AdapterLoaded,
    Begun,
    Cancel,
    EngineEvent,
    FailureCode,
    LoadAdapter,
    RequestFailed,
    Shutdown,
    StepEvents,
    UnloadAdapter,
)
from .in_flight import FEW, MAX_UNTAKEN, MAX_UNTAKEN_IN_ALL, Run
from .tokenizer import TokenizerClient

PATIENCE = 10.0
"""Seconds that a new request waits for an engine that is being started again."""
LOADS = 5
"""Times in a row that the model can't be loaded again until what was in flight fails. The tries go on."""

_FAILURES: dict[FailureCode, type[BackendError]] = {
    "invalid_request": InvalidRequest,
    "invalid_grammar": InvalidGrammar,
    "unknown_adapter": UnknownAdapter,
    "engine_error": BackendError,
}

log = logging.getLogger("paddock.engine")


class LlamaCppBackend:
    """A model served by llama.cpp in a process of its own; implements `backends.base.Backend`."""

    model: ModelInfo
    tokenizer: TokenizerClient
    stats: EngineStats
    """Counters go on where an earlier engine's ended."""
    _engine: EngineHandle

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.stats = self._earlier = EngineStats()
        self._adapters = AdapterLedger(self._tell, Path(options.model_path))
        self._runs: dict[str, Run] = {}
        self._dispatch: Dispatch[Run] = Dispatch(lambda run: self._engine.send(run.command()))
        self._launched = False
        self._supervisor: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._failed_loads = 0
        self._has_engine = False
        self._unavailable: str | None = None
        """Why there won't be an engine soon."""
        self._known = asyncio.Event()
        """Set if there is one, or won't be."""

    @property
    def ready(self) -> bool:
        return self._has_engine and self.tokenizer.ready

    @property
    def engine_pid(self) -> int:
        """The engine's process id, for whoever watches processes; another one after a restart."""
        return self._engine.pid

    def launch(self) -> None:
        """Start the processes; they load the model while this one does something else before it awaits `start`."""
        self._engine = EngineHandle(self.options)
        self.tokenizer = TokenizerClient(self.options.model_path, verbose=self.options.verbose)
        self.tokenizer.launch()
        self._launched = True

    async def start(self, on_progress: Callable[[float], None] = lambda _fraction: None) -> None:
        """Load the model. Raises ModelLoadError; nothing is left running then."""
        if not self._launched:
            self.launch()
        tokenizer = asyncio.create_task(self.tokenizer.loaded())
        try:
            self.model = await self._engine.loaded(on_progress)
            await tokenizer
        except BaseException:
            await self._engine.end()
            tokenizer.cancel()
            await asyncio.gather(tokenizer, return_exceptions=True)
            await self.tokenizer.stop()
            raise
        self._up()
        self._supervisor = asyncio.create_task(self._supervise())
        self._supervisor.add_done_callback(self._unsupervised)
        try:
            for adapter in self.options.adapters:
                await self.load_adapter(adapter)
        except BaseException as error:
            await self.stop()
            if isinstance(error, BackendError):
                raise ModelLoadError(str(error)) from None
            raise

    async def stop(self) -> None:
        """End the processes. What still runs fails."""
        if self._supervisor is None:
            return
        had_engine = self._has_engine
        self._give_up("the server is being stopped")
        self._supervisor.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        if had_engine:
            self._engine.send(Shutdown())
        try:
            await self.tokenizer.stop()
        finally:
            await self._engine.end()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerationEvent, None]:
        if len(request.prompt) + request.max_tokens > self.model.n_ctx:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.model.n_ctx} tokens. However, you requested "
                f"{len(request.prompt) + request.max_tokens} tokens ({len(request.prompt)} in the prompt, "
                f"{request.max_tokens} in the completion). Reduce one or the other."
            )
        await self._wait_for_engine()
        self._adapters.take(request.adapters)
        run = self._runs[request.id] = Run(request)
        try:
            self._dispatch.add(run)
            while (event := await run.take()) is not None:
                if isinstance(event, BackendError):
                    raise event
                yield event
        finally:
            del self._runs[request.id]
            self._dispatch.remove(run)
            if run.unfinished:
                self._tell(Cancel(request.id))
            self._adapters.give_back(request.adapters)

    @property
    def ended(self) -> int:
        return sum(run.ended for run in self._runs.values())

    def cancel(self, request_id: str, index: int) -> None:
        run = self._runs.get(request_id)
        if run is not None and run.goes_on(index):
            run.end(index)
            self._tell(Cancel(request_id, index if run.unfinished else None))
            if not run.unfinished:
                self._dispatch.remove(run)

    async def load_adapter(self, path: str) -> int:
        version = await self._adapters.check(Path(path))
        await self._wait_for_engine()
        return await self._adapters.load(Path(path), version)

    def unload_adapter(self, adapter: int) -> None:
        self._adapters.retire(adapter)

    def _tell(self, message: Cancel | LoadAdapter | UnloadAdapter) -> None:
        if self._has_engine:  # else the next engine won't know of what it is about
            self._engine.send(message)

    # --- events ---

    def _take(self, event: EngineEvent) -> None:
        if isinstance(event, StepEvents):
            for item in event.events:
                if (run := self._runs.get(item.id)) is not None:
                    _hand_over(item, run)
                    if run.unfinished and self._taken_too_slowly(run):
                        self._tell(Cancel(run.id))
                        run.fail(BackendError("the answer was taken too slowly, and the rest of it is given up"))
                    if not run.unfinished:
                        self._dispatch.remove(run)
            if self._dispatch.one_by_one:
                self._dispatch.proceed()
        elif isinstance(event, EngineStats):
            self.stats = event.after(self._earlier)
        elif isinstance(event, Begun):
            for request_id in event.ids:
                if (run := self._runs.get(request_id)) is not None:
                    run.begun = True
        elif isinstance(event, AdapterLoaded):
            self._adapters.answered(event)

    def _taken_too_slowly(self, run: Run) -> bool:
        if run.untaken <= FEW:
            return False
        return run.untaken > MAX_UNTAKEN or sum(each.untaken for each in self._runs.values()) > MAX_UNTAKEN_IN_ALL

    # --- the engine's lives ---

    def _unsupervised(self, supervisor: asyncio.Task[None]) -> None:
        """It never ends by itself, unless there is a mistake in it: then nobody is to wait for ever."""
        if not supervisor.cancelled():
            log.critical("the engine is no longer supervised", exc_info=supervisor.exception())
            self._give_up("the engine is no longer supervised: restart the server")

    async def _supervise(self) -> None:
        while True:
            await self._engine.listen(self._take)
            self._down(await self._engine.end())
            while not await self._restart():
                pass
            self._up()

    async def _restart(self) -> bool:
        """Start another engine; False: that has failed."""
        await asyncio.sleep(self._backoff.delay())
        try:
            # As long a context as before, whatever memory there is now: what is in flight may need it.
            self._engine = EngineHandle(msgspec.structs.replace(self.options, n_ctx=self.model.n_ctx))
            model = await self._engine.loaded()
            if not _same(model, self.model):
                await self._engine.end()
                raise ModelLoadError(f"{self.options.model_path} is another model than when it was loaded first")
        except (ModelLoadError, OSError) as error:
            self._not_loaded(error)
            return False
        return True

    def _down(self, reason: str) -> None:
        """The engine has ended, without being told to."""
        self._has_engine = False
        self._known.clear()
        self._adapters.engine_ended()
        culprit = self._dispatch.crashed()
        log.error("the engine process ended (%s); %d requests will go on in another one", reason, len(self._dispatch))
        if culprit is not None:
            self._backoff.explained()
            culprit.fail(BackendError("engines died twice while they worked on this request: it is given up"))
            log.error("request %s is given up: engines died while they worked on it", culprit.id)
        self._earlier = msgspec.structs.replace(self.stats, restarts=self.stats.restarts + 1)
        waiting = sum(run.unfinished for run in self._runs.values())
        self.stats = EngineStats(waiting=waiting, cells_total=self.stats.cells_total).after(self._earlier)

    def _up(self) -> None:
        self._backoff.up()
        self._failed_loads = 0
        self._unavailable = None
        self._has_engine = True
        self._known.set()
        if self.stats.restarts:
            log.info("the engine is running again")
        self._adapters.engine_began()
        self._dispatch.open()

    def _not_loaded(self, error: Exception) -> None:
        log.error("the engine cannot be started again: %s", error)
        self._failed_loads += 1
        self._unavailable = "the engine has died and cannot be started again for now"
        self._known.set()
        if self._failed_loads == LOADS:
            self._give_up(self._unavailable)

    def _give_up(self, reason: str) -> None:
        """Fail what is in flight."""
        self._has_engine = False
        self._unavailable = reason
        self._known.set()
        self._adapters.engine_ended()
        for run in self._runs.values():
            run.fail(EngineUnavailable(reason))
            self._dispatch.remove(run)

    async def _wait_for_engine(self) -> None:
        if not self._known.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._known.wait()
        if not self._has_engine:
            raise EngineUnavailable(self._unavailable or "the engine is being started again")


def _hand_over(event: TokenChunk | PromptProgress | RequestFailed, run: Run) -> None:
    if isinstance(event, TokenChunk):
        run.add_chunk(event)
    elif isinstance(event, PromptProgress):
        run.add_progress(event)
    else:
        run.fail(_FAILURES[event.code](event.message))


def _same(one: ModelInfo, other: ModelInfo) -> bool:
    """Whether what was begun with one can go on with the other."""
    return all(getattr(one, name) == getattr(other, name) for name in ("n_vocab", "n_ctx", "n_params", "metadata"))
