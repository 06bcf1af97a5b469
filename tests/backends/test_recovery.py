"""The engine's loop when batches fail, on a context that fails them on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import EngineStats, GenerateRequest, SamplingParams
from backends.llama_cpp.engine import Engine
from backends.llama_cpp.engine_messages import RequestFailed, Shutdown, StepEvents
from backends.llama_cpp.kv_pool import KVPool, MemoryTraits
from backends.llama_cpp.sampling import SamplingVocab
from backends.llama_cpp.spill import SpillStore

from .cells import PlainCells

N_VOCAB = 8


class FailingContext:
    n_ctx, n_slots, n_batch, n_ubatch, n_outputs, tiled = 64, 3, 64, 32, 64, False

    def __init__(self, result: int) -> None:
        self.result = result
        self.calls = 0

    def decode(self, spans: object) -> int:
        self.calls += 1
        assert self.calls < 100, "no end in sight"
        return self.result


class Script:
    """A channel that brings these requests, and the order to end once all of them have been answered."""

    def __init__(self, requests: list[GenerateRequest]) -> None:
        self._requests = list(requests)
        self._open = len(requests)
        self.failed: list[str] = []

    def ready(self, timeout: float = 0.0) -> bool:
        return bool(self._requests) or not self._open

    def receive(self) -> Any:
        return self._requests.pop(0) if self._requests else Shutdown()

    def send(self, message: StepEvents | EngineStats) -> None:
        if isinstance(message, StepEvents):
            self.failed += [event.id for event in message.events if isinstance(event, RequestFailed)]
            self._open -= sum(isinstance(event, RequestFailed) for event in message.events)


def failures(result: int, requests: list[GenerateRequest]) -> tuple[list[str], KVPool]:
    memory = PlainCells(64)
    pool = KVPool(memory, MemoryTraits(64, 3, range(3, 9)), SpillStore(0), 64)
    vocab = SamplingVocab(N_VOCAB, np.array([0], np.int32), np.array([], np.int32))
    script = Script(requests)
    context = FailingContext(result)
    Engine(context, pool, vocab, script, step_budget=0.5).run()  # type: ignore[arg-type]  # two stand-ins
    return script.failed, pool


def request(name: str, n: int = 1) -> GenerateRequest:
    return GenerateRequest(id=name, prompt=[1, 2, 3], max_tokens=4, sampling=SamplingParams(), n=n)


def test_requests_fail_when_there_is_no_room_whatever_the_pool_believes() -> None:
    failed, pool = failures(1, [request("a"), request("b"), request("c", n=2)])
    assert sorted(failed) == ["a", "b", "c"]
    assert pool.used == 0


def test_nothing_of_a_failed_batch_is_kept() -> None:
    failed, pool = failures(-3, [request("a", n=2), request("b")])
    assert sorted(failed) == ["a", "b"]
    assert pool.used == 0 and pool.n_parked == 0
