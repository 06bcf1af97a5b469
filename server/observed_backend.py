"""A backend whose requests are counted, admitted and measured: the one place, whatever endpoint they come from.

So it is also where they get the LoRA adapters that their model's name stands for.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from backends.base import (
    AdapterSet,
    Backend,
    BackendError,
    EngineStats,
    GenerateRequest,
    GenerationEvent,
    PromptProgress,
    TokenChunk,
)
from server.admission import Admission
from server.metrics import KeyMetrics, ModelMetrics
from server.request_record import current

_now = time.monotonic
TELL_SECONDS = 0.5
"""How long tokens are counted before the metrics learn of them: telling them of each costs more than counting it."""


class ObservedBackend:
    """Passes everything on, and counts and times what the engine answers. Made anew for each HTTP request."""

    def __init__(
        self, backend: Backend, metrics: ModelMetrics, admission: Admission, adapters: AdapterSet = ()
    ) -> None:
        self.model = backend.model
        self.tokenizer = backend.tokenizer
        self._backend = backend
        self._adapters = adapters
        self._metrics = metrics
        record = current()
        self._of_key = metrics.of_key(None if record is None else record.key)
        self._admission = admission
        self._admitted = False
        self._watches: dict[str, _Watch] = {}

    @property
    def stats(self) -> EngineStats:
        return self._backend.stats

    @property
    def ready(self) -> bool:
        return self._backend.ready

    @property
    def ended(self) -> int:
        return self._backend.ended

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerationEvent, None]:
        if not self._admitted:
            self._admission.check(self.model.n_parallel, self._backend.ended)
            self._admitted = True  # and so are the HTTP request's further prompts
        if self._adapters:
            request = msgspec.structs.replace(request, adapters=self._adapters)
        self._admission.enter(request.n)
        watch = self._watches[request.id] = _Watch(request, self._metrics, self._of_key)
        unfinished = "abort"
        try:
            async with aclosing(self._backend.generate(request)) as source:
                async for event in source:
                    watch.take(event)
                    yield event
        except BackendError:
            unfinished = "error"
            raise
        finally:
            del self._watches[request.id]
            watch.close(unfinished)
            self._admission.leave(request.n)

    def cancel(self, request_id: str, index: int) -> None:
        if (watch := self._watches.get(request_id)) is not None:
            watch.stop(index)
        self._backend.cancel(request_id, index)

    async def load_adapter(self, path: str) -> int:
        return await self._backend.load_adapter(path)

    def unload_adapter(self, adapter: int) -> None:
        self._backend.unload_adapter(adapter)

    async def stop(self) -> None:
        await self._backend.stop()


class _Watch:
    """One request's run: what it adds to the metrics."""

    def __init__(self, request: GenerateRequest, metrics: ModelMetrics, of_key: KeyMetrics) -> None:
        self._metrics = metrics
        self._of_key = of_key
        self._prompt_tokens = len(request.prompt)
        self._started = _now()
        self._first_token = True
        self._last: dict[int, float | None] = dict.fromkeys(range(request.n))
        """When each unfinished sequence had its last token; None before its first."""
        self._generated = [0] * request.n
        self._untold_tokens = 0
        self._untold_gaps: list[float] = []
        self._told = self._started
        self._complete = True

    def take(self, event: GenerationEvent) -> None:
        if isinstance(event, TokenChunk):
            if event.index in self._last:
                self._take_chunk(event)
        elif event.done:
            self._prompt_done(event)

    def stop(self, index: int) -> None:
        """The server has ended the sequence, at a stop string or a limit of its own."""
        self._end(index, "stop")

    def close(self, unfinished: str) -> None:
        """Nothing more comes; `unfinished` is what became of the sequences that had not ended."""
        self._tell()
        for index in list(self._last):
            self._complete = False
            self._end(index, unfinished)
        if self._complete:
            self._metrics.e2e_request_latency.observe(_now() - self._started)
            self._metrics.request_prompt_tokens.observe(self._prompt_tokens)

    def _prompt_done(self, progress: PromptProgress) -> None:
        self._of_key.prompt_tokens.inc(self._prompt_tokens)
        self._of_key.prompt_tokens_cached.inc(progress.cached)
        self._metrics.request_queue_time.observe(progress.queued)

    def _take_chunk(self, chunk: TokenChunk) -> None:
        if chunk.tokens:
            now = _now()
            last = self._last[chunk.index]
            if last is not None:
                self._untold_gaps.append(now - last)
            elif self._first_token:
                self._first_token = False
                self._metrics.time_to_first_token.observe(now - self._started)
            self._last[chunk.index] = now
            self._generated[chunk.index] += len(chunk.tokens)
            self._untold_tokens += len(chunk.tokens)
            if now - self._told > TELL_SECONDS:
                self._told = now
                self._tell()
        if chunk.finish_reason is not None:
            self._end(chunk.index, chunk.finish_reason)

    def _tell(self) -> None:
        for gap in self._untold_gaps:
            self._metrics.inter_token_latency.observe(gap)
        self._untold_gaps.clear()
        self._of_key.generation_tokens.inc(self._untold_tokens)
        self._untold_tokens = 0

    def _end(self, index: int, reason: str) -> None:
        if index not in self._last:
            return
        del self._last[index]
        self._of_key.ended[reason].inc()
        if reason in ("stop", "length"):
            self._metrics.request_generation_tokens.observe(self._generated[index])
