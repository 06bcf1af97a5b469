"""What the engine's loop puts off until nobody asks for anything, on a channel with a clock of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import EngineStats
from backends.llama_cpp.engine import QUIET, Engine
from backends.llama_cpp.engine_messages import Cancel, Shutdown, StepEvents
from backends.llama_cpp.kv_pool import KVPool, MemoryTraits
from backends.llama_cpp.sampling import SamplingVocab
from backends.llama_cpp.spill import SpillStore

from .cells import PlainCells


class IdleContext:
    n_ctx, n_slots, n_batch, n_ubatch, n_outputs, tiled = 64, 3, 64, 32, 64, False


class Messages:
    """A channel on which one comes after each of these seconds; the last one is the order to end."""

    def __init__(self, log: list[str], *seconds: float) -> None:
        self._log = log
        self._seconds = list(seconds)

    def ready(self, timeout: float = 0.0) -> bool:
        waited = min(timeout, self._seconds[0])
        self._seconds[0] -= waited
        return self._seconds[0] == 0

    def receive(self) -> Any:
        self._seconds.pop(0)
        self._log.append("message")
        return Cancel("nobody's") if self._seconds else Shutdown()

    def send(self, message: StepEvents | EngineStats) -> None:
        pass


class Grammars:
    def __init__(self, log: list[str]) -> None:
        self._log = log

    def prepare(self) -> None:
        self._log.append("prepared")


def happened(*seconds: float) -> list[str]:
    log: list[str] = []
    pool = KVPool(PlainCells(64), MemoryTraits(64, 3, range(3, 9)), SpillStore(0), 64)
    vocab = SamplingVocab(8, np.array([0], np.int32), np.array([], np.int32))
    channel, grammars = Messages(log, *seconds), Grammars(log)
    Engine(IdleContext(), pool, vocab, channel, 0.5, grammars).run()  # type: ignore[arg-type]  # stand-ins
    return log


def test_the_grammars_tokenizer_waits_for_a_pause() -> None:
    """Making it holds Python's lock, and so would hold up the first request."""
    assert happened(QUIET / 2, 0, QUIET / 2) == ["message"] * 3
    assert happened(QUIET / 2, 2 * QUIET, 0) == ["message", "prepared", "message", "message"]
