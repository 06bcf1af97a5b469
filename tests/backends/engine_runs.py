"""Running requests on a real engine process, for tests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp

from backends.base import EngineStats, GenerateRequest, PromptProgress, SamplingParams, TokenLogprob
from backends.engine_options import EngineOptions
from backends.llama_cpp.client import LlamaCppBackend

_ids = itertools.count()

EXACT: dict[str, Any] = {"flash_attn": False, "cache_type": llama_cpp.GGML_TYPE_F32}
"""Nearly no kernel noise, so nearly nothing that may differ: for the reference."""
EXACT_ENGINE = {"flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32"}

GREEDY = SamplingParams(temperature=0.0)


@dataclass
class Run:
    """What came back of one request, by sequence."""

    tokens: list[list[int]]
    finish_reasons: list[str | None]
    logprobs: list[list[TokenLogprob]]
    came_true: list[list[bool]]
    cached: int = 0
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)
    progress: int = 0


@asynccontextmanager
async def engine(path: Path, **options: Any) -> AsyncIterator[LlamaCppBackend]:
    """A backend with its engine and tokenizer processes, stopped at the end."""
    options = {"n_ctx": 2048, "n_parallel": 4, "n_threads": 1, **options}
    backend = LlamaCppBackend(EngineOptions(model_path=str(path), **options))
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


def request(
    prompt: Sequence[int], max_tokens: int, sampling: SamplingParams = GREEDY, **fields: Any
) -> GenerateRequest:
    return GenerateRequest(id=f"r{next(_ids)}", prompt=list(prompt), max_tokens=max_tokens, sampling=sampling, **fields)


async def run(backend: LlamaCppBackend, job: GenerateRequest) -> Run:
    """Run a request to its end."""
    result = Run([[] for _ in range(job.n)], [None] * job.n, [[] for _ in range(job.n)], [[] for _ in range(job.n)])
    async for event in backend.generate(job):
        if isinstance(event, PromptProgress):
            result.progress += 1
            result.cached = event.cached
            result.prompt_logprobs += event.logprobs
        else:
            result.tokens[event.index] += event.tokens
            result.logprobs[event.index] += event.logprobs or []
            result.came_true[event.index] += event.came_true or []
            if event.finish_reason is not None:
                assert result.finish_reasons[event.index] is None
                result.finish_reasons[event.index] = event.finish_reason
    assert None not in result.finish_reasons
    return result


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    for _ in range(15_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it has never come to that")


async def settled(backend: LlamaCppBackend) -> EngineStats:
    """The engine's figures once nothing runs."""
    for _ in range(200):
        await asyncio.sleep(0.05)
        if backend.stats.steps and not backend.stats.running and not backend.stats.waiting:
            await asyncio.sleep(0.1)
            return backend.stats
    raise AssertionError(f"still busy: {backend.stats}")
