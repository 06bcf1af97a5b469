"""What would abort llama.cpp, and the process with it, never gets there: each guard on a real engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backends.base import InvalidRequest, SamplingParams

from .engine_runs import engine, request, run

PROMPT = [5, *range(10, 40)]


REFUSED: list[tuple[list[int], int, dict[str, Any]]] = [
    ([], 5, {}),
    ([-1], 5, {}),
    ([2**31 - 1], 5, {}),
    ([5] * 257, 0, {}),
    ([5] * 256, 1, {}),
    ([5], 5, {"prediction": [-1]}),
    ([5], 5, {"prediction": [10**6]}),
    ([5], 5, {"sampling": SamplingParams(logit_bias={10**6: 1.0})}),
    ([5], 5, {"sampling": SamplingParams(logit_bias={-1: 1.0})}),
]


async def test_tokens_that_there_are_not_and_prompts_that_do_not_fit_are_refused(gguf) -> None:
    async with engine(gguf("llama"), n_ctx=256) as backend:
        beside = asyncio.create_task(run(backend, request(PROMPT, 200)))
        for prompt, max_tokens, fields in REFUSED:
            with pytest.raises(InvalidRequest):
                await run(backend, request(prompt, max_tokens, **fields))
        assert len((await beside).tokens[0]) == 200
        assert backend.stats.restarts == 0


@pytest.mark.parametrize("family", ["llama", "mamba"])
async def test_more_sequences_than_a_batch_was_asked_to_have_tokens(gguf, family: str) -> None:
    async with engine(gguf(family), n_parallel=128, n_batch=8, n_ubatch=4, n_ctx=2048) as backend:
        runs = await asyncio.gather(*(run(backend, request([5 + k % 100, 7, 9], 4)) for k in range(140)))
        assert all(len(result.tokens[0]) == 4 for result in runs)
        assert backend.stats.restarts == 0


async def test_more_rows_of_logits_than_a_batch_may_have(gguf) -> None:
    async with engine(gguf("llama"), n_parallel=4) as backend:
        foretold = (await run(backend, request(PROMPT, 60))).tokens[0]
        jobs = [request([5 + i % 90 for i in range(400)], 2, logprobs=1, prompt_logprobs=1) for _ in range(2)]
        jobs += [request(PROMPT, 60, prediction=foretold) for _ in range(4)]
        runs = await asyncio.gather(*(run(backend, job) for job in jobs))
        assert [len(result.prompt_logprobs) for result in runs[:2]] == [399, 399]
        assert all(len(result.tokens[0]) == 60 for result in runs[2:])
        assert backend.stats.restarts == 0
