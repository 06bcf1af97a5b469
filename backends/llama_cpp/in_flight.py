"""A request in flight, as the API process keeps it: what has come of it, so that another engine can go on with it."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

import msgspec

from backends.base import BackendError, GenerateRequest, GenerationEvent, PromptProgress, TokenChunk

from .blame import Candidate
from .engine_messages import Resume

MAX_UNTAKEN = 32_768
"""Events that may wait to be taken: a slow reader's. Each takes 0.3 kB of memory, with 20 log-probabilities 3.2 kB;
those with more count as several."""
MAX_UNTAKEN_IN_ALL = 8 * MAX_UNTAKEN
"""Beyond so many of all requests, each may have FEW only."""
FEW = 1024
LOGPROBS = 20
"""That an event may have and count as one."""


class Run(Candidate):
    """What has come of a request, until it is taken, and all tokens that it has generated.

    One task takes, so that this is less than a queue: it runs for every token.
    """

    def __init__(self, request: GenerateRequest) -> None:
        super().__init__()
        self.id = request.id
        self._request = _seeded(request)
        self._generated: dict[int, list[int]] = {index: [] for index in range(request.n)}
        """Of the sequences that go on, by index."""
        self._n_processed = self._n_scored = 0
        self._prompt_done = False
        self._events: deque[GenerationEvent | BackendError | None] = deque()
        self.untaken = 0
        """Events that wait to be taken, large ones counted as several."""
        self._taker: asyncio.Future[None] | None = None

    @property
    def unfinished(self) -> int:
        """How many of its sequences go on."""
        return len(self._generated)

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self._request.n - len(self._generated)

    def goes_on(self, index: int) -> bool:
        return index in self._generated

    def command(self) -> GenerateRequest | Resume:
        """What to send to an engine."""
        if self._n_processed or len(self._generated) < self._request.n or any(self._generated.values()):
            return Resume(self._request, self._generated, self._prompt_done, self._n_scored)
        return self._request

    # --- from the engine ---

    def add_chunk(self, chunk: TokenChunk) -> None:
        tokens = self._generated.get(chunk.index)
        if tokens is None:  # cancelled
            return
        tokens += chunk.tokens
        self.n_received += len(chunk.tokens)
        self._put(chunk)
        if chunk.finish_reason is not None:
            self.end(chunk.index)

    def add_progress(self, progress: PromptProgress) -> None:
        """An engine that begins anew tells again how far it is: that comes only when it is further."""
        if progress.processed > self._n_processed or progress.done or progress.logprobs:
            self._n_processed = max(self._n_processed, progress.processed)
            self._n_scored += len(progress.logprobs)
            self._prompt_done |= progress.done
            self._put(progress)

    def fail(self, error: BackendError) -> None:
        self._generated.clear()
        self._put(error)

    def end(self, index: int) -> None:
        """Nothing more is wanted of this sequence."""
        self._generated.pop(index, None)
        if not self._generated:
            self._put(None)

    # --- for the one who has asked ---

    async def take(self) -> GenerationEvent | BackendError | None:
        """What comes next; None: nothing does."""
        while not self._events:
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
        event = self._events.popleft()
        self.untaken -= _weight(event)
        return event

    def _put(self, event: GenerationEvent | BackendError | None) -> None:
        self._events.append(event)
        self.untaken += _weight(event)
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def _weight(event: GenerationEvent | BackendError | None) -> int:
    logprobs = event.logprobs if isinstance(event, TokenChunk | PromptProgress) else None
    return max(1, sum(len(each.top) for each in logprobs) // LOGPROBS) if logprobs else 1


def _seeded(request: GenerateRequest) -> GenerateRequest:
    """With a seed, so that any engine draws the same random sequence."""
    if request.sampling.seed is not None:
        return request
    sampling = msgspec.structs.replace(request.sampling, seed=secrets.randbits(32))
    return msgspec.structs.replace(request, sampling=sampling)
