"""Overlapping requests of every kind on a pool far too small, each token held to llama.cpp's own."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import pytest

from backends.base import AdapterSet
from backends.llama_cpp.client import LlamaCppBackend
from tests.models.families import FAMILIES
from tests.models.reference import Reference, assert_same_greedy, greedy, kernel_noise

from .engine_runs import EXACT, EXACT_ENGINE, engine, request, run, settled

JOBS = 30


@dataclass(frozen=True)
class Job:
    prompt: list[int]
    max_tokens: int
    scored: bool
    n: int
    patience: int | None
    """Events after which its client goes away."""
    delay: float
    foreseen: float | None
    """How much of its prediction is right; None: it has none."""


def jobs(chance: random.Random) -> list[Job]:
    """Prompts that begin alike, in parts, as system prompts and conversations do."""
    stems = [[chance.randrange(3, 200) for _ in range(120)] for _ in range(3)]

    def prompt() -> list[int]:
        own = [chance.randrange(3, 200) for _ in range(chance.choice([0, 0, 3, 40, 150]))]
        return chance.choice(stems)[: chance.randrange(1, 120)] + own

    return [
        Job(
            prompt(),
            chance.choice([1, 5, 30, 60]),
            chance.random() < 0.3,
            chance.choice([1, 1, 2, 6]),
            chance.randrange(8) if chance.random() < 0.25 else None,
            chance.random() / 2,
            chance.choice([None, None, 0.0, 0.5, 0.95, 1.0]),
        )
        for _ in range(JOBS)
    ]


def foretold(answer: list[int], right: float | None) -> list[int]:
    chance = random.Random(len(answer))
    return [] if right is None else [token if chance.random() < right else 3 for token in answer]


async def do(backend: LlamaCppBackend, job: Job, reference: Reference, noise: float, adapters: AdapterSet = ()) -> None:
    await asyncio.sleep(job.delay)
    order = request(
        job.prompt,
        job.max_tokens,
        n=job.n,
        prompt_logprobs=1 if job.scored else None,
        prediction=foretold(reference.tokens, job.foreseen),
        adapters=adapters,
    )
    if job.patience is not None:
        stream = backend.generate(order)
        for _ in range(job.patience):
            if await anext(stream, None) is None:
                break
        await stream.aclose()
        return
    result = await run(backend, order)
    assert len(result.prompt_logprobs) == (len(job.prompt) - 1 if job.scored else 0)
    for tokens in result.tokens:
        assert_same_greedy(tokens, reference, noise)


@pytest.mark.parametrize("family", FAMILIES)
async def test_everything_at_once(gguf, family: str) -> None:
    path = gguf(family)
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    load = jobs(random.Random(family))
    references = [greedy(path, job.prompt, job.max_tokens, **EXACT) for job in load]
    async with engine(path, n_ctx=512, n_parallel=3, cache_ram_mib=1, **EXACT_ENGINE) as backend:
        await asyncio.gather(*(do(backend, job, ref, noise) for job, ref in zip(load, references, strict=True)))
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached
