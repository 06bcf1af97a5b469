"""How many sequences may be in flight: those that the engine computes, and a bounded queue behind them."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.errors import RETRY_AFTER_SECONDS, queue_full

MAX_RETRY_AFTER = 60
"""Seconds. What is known now says little about later; and OpenAI's SDK gives up on more than two minutes."""
REMEMBERED = 64
"""Sequences that have ended: from when they did follows how long the queue takes."""


class Admission:
    """One per model."""

    def __init__(self, max_queue: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`max_queue`: sequences that may wait; None: any number."""
        self._max_queue = max_queue
        self._now = clock
        self._in_flight = 0
        self._ended: deque[float] = deque(maxlen=REMEMBERED)
        """When places became free, since the server was idle last."""

    def check(self, n_parallel: int, ended: int) -> None:
        """Raises a 429 if there is no place for another sequence. Who finds one may enter with more: a request whose
        prompts are more than there are places must be able to run some time. `ended`: those in flight that the engine
        is done with, and whose clients have yet to take the rest: slow readers take nobody's place."""
        if self._max_queue is not None and self._in_flight - ended >= n_parallel + self._max_queue:
            raise queue_full(self._retry_after(self._in_flight - ended - n_parallel))

    @contextmanager
    def waiting(self, n_parallel: int) -> Iterator[None]:
        """Around the time that a request waits for its model to be loaded. Raises a 429 if too many do."""
        self.check(n_parallel, 0)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def enter(self, n: int) -> None:
        """`n` sequences are on their way to the engine."""
        self._in_flight += n

    def leave(self, n: int) -> None:
        """They have ended."""
        self._in_flight -= n
        self._ended.extend([self._now()] * n)
        if not self._in_flight:
            self._ended.clear()

    def _retry_after(self, waiting: int) -> int:
        """Some time within which the queue moves on, each time another: so that not all come back together."""
        if len(self._ended) < 2 or (elapsed := self._now() - self._ended[0]) <= 0:
            return RETRY_AFTER_SECONDS
        seconds = max(waiting, 1) * elapsed / (len(self._ended) - 1)
        return max(1, math.ceil(random.uniform(0, min(seconds, MAX_RETRY_AFTER))))
