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
from collections import deque
from collections.abc import AsyncGenerator, Callable

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

from .async_channel import AsyncChannel
from .tokenizer import TokenizerClient

STOP_TIMEOUT = 10.0
"""Seconds an engine gets to end by itself."""

log = logging.getLogger("paddock.engine")


class _Run:
    """A request in flight: what has come for it, until it is taken, and which of its sequences still go on.

    One task takes, so that this is less than a queue: it runs for every token.
    """

    def __init__(self, n: int) -> None:
        self.unfinished = set(range(n))
        self._events: deque[GenerationEvent | BackendError | None] = deque()
        self._taker: asyncio.Future[None] | None = None

    def put(self, event: GenerationEvent | BackendError | None) -> None:
        """None: nothing more comes."""
        self._events.append(event)
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    async def take(self) -> GenerationEvent | BackendError | None:
        while not self._events:
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
        return self._events.popleft()

    def end(self, index: int) -> None:
        self.unfinished.discard(index)
        if not self.unfinished:
            self.put(None)


class LlamaCppBackend:
    """A model served by llama.cpp in a process of its own; implements `backends.base.Backend`."""

    model: ModelInfo
    tokenizer: TokenizerClient

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.stats = EngineStats()
        self._runs: dict[str, _Run] = {}
        self._launched = False
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

    def launch(self) -> None:
        """Start the processes; they load the model while this one does something else before it awaits `start`."""
        parent, child = socket.socketpair()
        with child:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backends.llama_cpp.engine_process", str(child.fileno())],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._channel: AsyncChannel[EngineEvent] = AsyncChannel(parent, EngineEvent)
        self._channel.send(self.options)
        self.tokenizer = TokenizerClient(self.options.model_path, verbose=self.options.verbose)
        self.tokenizer.launch()
        self._launched = True

    async def start(self, on_progress: Callable[[float], None] = lambda _fraction: None) -> None:
        """Load the model. Raises ModelLoadError; nothing is left running then."""
        if not self._launched:
            self.launch()
        await self._channel.open()
        tokenizer = asyncio.create_task(self.tokenizer.loaded())
        try:
            self.model = await self._loaded(on_progress)
            await tokenizer
        except BaseException:
            await self._end_process()
            tokenizer.cancel()
            await asyncio.gather(tokenizer, return_exceptions=True)
            await self.tokenizer.stop()
            raise
        self._ready = True
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        self._stopping, self._ready = True, False
        self._channel.send(Shutdown())
        await self.tokenizer.stop()
        await self._end_process()
        await self._supervisor

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerationEvent, None]:
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
            while (event := await run.take()) is not None:
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
        while (event := await self._channel.receive()) is not None:
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
        await self._channel.each(self._take)
        self._ready = False
        if self._stopping:
            return
        status = await asyncio.to_thread(self._process.wait)
        log.error("the engine process ended (%s)", _reason(status))
        for run in self._runs.values():
            run.put(EngineUnavailable("the engine process ended while it worked on this request"))
        self.died.set()

    def _take(self, event: EngineEvent) -> None:
        if isinstance(event, StepEvents):
            for item in event.events:
                self._dispatch(item)
        elif isinstance(event, EngineStats):
            self.stats = event

    def _dispatch(self, event: TokenChunk | PromptProgress | RequestFailed) -> None:
        run = self._runs.get(event.id)
        if run is None:
            return
        if isinstance(event, TokenChunk):
            if event.index in run.unfinished:
                run.put(event)
                if event.finish_reason is not None:
                    run.end(event.index)
        elif isinstance(event, PromptProgress):
            run.put(event)
        else:
            kind = InvalidRequest if event.code == "invalid_request" else BackendError
            run.unfinished.clear()
            run.put(kind(event.message))

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
