"""The API process's side of the engine: spawn it, supervise it, send requests and hand their events out.

The engine process dies with this one (its socket ends). If it dies first, whatever is running fails with
EngineUnavailable; restarting it and resuming what ran belongs where `_supervise` ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

from backends.base import (
    BackendError,
    Cancel,
    ContextLengthExceeded,
    EngineEvent,
    EngineOptions,
    EngineStats,
    EngineUnavailable,
    GenerateRequest,
    GenerationEvent,
    InvalidRequest,
    LoadFailed,
    LoadProgress,
    ModelInfo,
    ModelLoadError,
    PromptProgress,
    RequestFailed,
    Shutdown,
    StepEvents,
    TokenChunk,
)

from .channel import AsyncChannel
from .tokenizer import TokenizerClient

STOP_TIMEOUT = 10.0
"""Seconds an engine gets to end by itself."""

log = logging.getLogger("paddock.engine")


class _Run:
    """A request in flight: its events, and which of its sequences still go on."""

    def __init__(self, n: int) -> None:
        self.events: asyncio.Queue[GenerationEvent | BackendError | None] = asyncio.Queue()
        self.unfinished = set(range(n))

    def end(self, index: int) -> None:
        self.unfinished.discard(index)
        if not self.unfinished:
            self.events.put_nowait(None)


class LlamaCppBackend:
    """A model served by llama.cpp in a process of its own; implements `backends.base.Backend`."""

    model: ModelInfo
    tokenizer: TokenizerClient

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.stats = EngineStats()
        self._runs: dict[str, _Run] = {}
        self._ready = False
        self._stopping = False
        self.died: asyncio.Event = asyncio.Event()
        """Set when the engine process has ended without being told to."""

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def engine_pid(self) -> int:
        """The engine's process id, for whoever watches processes."""
        return self._process.pid

    async def start(self, on_progress: Callable[[float], None] = lambda _fraction: None) -> None:
        """Load the model. Raises ModelLoadError; nothing is left running then."""
        parent, child = socket.socketpair()
        with child:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backends.llama_cpp.engine_process", str(child.fileno())],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._channel: AsyncChannel[EngineEvent] = await AsyncChannel.open(parent, EngineEvent)
        self._channel.send(self.options)
        tokenizer = asyncio.create_task(TokenizerClient.start(self.options.model_path, verbose=self.options.verbose))
        try:
            self.model = await self._loaded(on_progress)
            self.tokenizer = await tokenizer
        except BaseException:
            await self._end_process()
            if not tokenizer.cancel() and not tokenizer.exception():
                await tokenizer.result().stop()
            raise
        self._ready = True
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        self._stopping, self._ready = True, False
        self._channel.send(Shutdown())
        await self.tokenizer.stop()
        await self._end_process()
        await self._supervisor

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerationEvent]:
        if not self._ready:
            raise EngineUnavailable("the engine is not running")
        if len(request.prompt) + request.max_tokens > self.model.n_ctx:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.model.n_ctx} tokens. However, you requested "
                f"{len(request.prompt) + request.max_tokens} tokens ({len(request.prompt)} in the prompt, "
                f"{request.max_tokens} in the completion). Reduce one or the other."
            )
        run = self._runs[request.id] = _Run(request.n)
        try:
            self._channel.send(request)
            while (event := await run.events.get()) is not None:
                if isinstance(event, BackendError):
                    raise event
                yield event
        finally:
            del self._runs[request.id]
            if run.unfinished:
                self._channel.send(Cancel(request.id))

    def cancel(self, request_id: str, index: int) -> None:
        run = self._runs.get(request_id)
        if run is not None and index in run.unfinished:
            self._channel.send(Cancel(request_id, index))
            run.end(index)

    # --- parts ---

    async def _loaded(self, on_progress: Callable[[float], None]) -> ModelInfo:
        async for event in self._channel:
            if isinstance(event, LoadProgress):
                on_progress(event.fraction)
            elif isinstance(event, LoadFailed):
                raise ModelLoadError(event.message)
            elif isinstance(event, ModelInfo):
                return event
        status = await asyncio.to_thread(self._process.wait)
        raise ModelLoadError(f"cannot load {self.options.model_path}: the engine process ended ({_reason(status)})")

    async def _supervise(self) -> None:
        """Hand events to the requests they belong to, until the engine's socket ends."""
        async for event in self._channel:
            if isinstance(event, StepEvents):
                for item in event.events:
                    self._dispatch(item)
            elif isinstance(event, EngineStats):
                self.stats = event
        self._ready = False
        if self._stopping:
            return
        status = await asyncio.to_thread(self._process.wait)
        log.error("the engine process ended (%s)", _reason(status))
        for run in self._runs.values():
            run.events.put_nowait(EngineUnavailable("the engine process ended while it worked on this request"))
        self.died.set()

    def _dispatch(self, event: TokenChunk | PromptProgress | RequestFailed) -> None:
        run = self._runs.get(event.id)
        if run is None:
            return
        if isinstance(event, RequestFailed):
            kind = InvalidRequest if event.code == "invalid_request" else BackendError
            run.unfinished.clear()
            run.events.put_nowait(kind(event.message))
        elif isinstance(event, PromptProgress):
            run.events.put_nowait(event)
        elif event.index in run.unfinished:
            run.events.put_nowait(event)
            if event.finish_reason is not None:
                run.end(event.index)

    async def _end_process(self) -> None:
        """Wait for the engine to end; end it if it won't."""
        self._channel.close()
        try:
            await asyncio.to_thread(self._process.wait, STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


def _reason(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"
