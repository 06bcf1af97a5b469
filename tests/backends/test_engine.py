"""The engine process on real GGUFs: what llama.cpp gives, whatever else runs beside it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from backends.base import (
    BackendError,
    ContextLengthExceeded,
    ModelLoadError,
    PromptProgress,
    SamplingParams,
)
from tests.models.broken import BROKEN, write_broken
from tests.models.families import FAMILIES, write_model
from tests.models.reference import assert_same_greedy, greedy, kernel_noise

from .engine_runs import EXACT, EXACT_ENGINE, GREEDY, engine, request, run, settled

PROMPTS = [[3 + (7 * i + k) % 200 for i in range(20 + 30 * k)] for k in range(4)]


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "default"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_four_clients_at_once_get_what_llama_cpp_gives_cold_and_cached(gguf, family: str, exact: bool) -> None:
    path = gguf(family)
    setting = EXACT if exact else {}
    noise = kernel_noise(path, **setting)
    references = [greedy(path, prompt, 40, **setting) for prompt in PROMPTS]
    async with engine(path, **(EXACT_ENGINE if exact else {})) as backend:
        for repetition in range(2):
            runs = await asyncio.gather(*(run(backend, request(prompt, 40)) for prompt in PROMPTS))
            for prompt, result, reference in zip(PROMPTS, runs, references, strict=True):
                assert_same_greedy(result.tokens[0], reference, noise)
                assert result.cached == (len(prompt) - 1 if repetition else 0)
        longer = [*PROMPTS[2], *references[2].tokens[:20], 9, 8, 7]
        assert_same_greedy(
            (await run(backend, request(longer, 30))).tokens[0], greedy(path, longer, 30, **setting), noise
        )


async def test_fork_computes_the_prompt_once(gguf) -> None:
    prompt = [5 + i % 100 for i in range(300)]
    async with engine(gguf("llama")) as backend:
        result = await run(backend, request(prompt, 8, SamplingParams(temperature=1.0, seed=7), n=6))
        assert len({tuple(tokens) for tokens in result.tokens}) > 1
        stats = await settled(backend)
        assert stats.prompt_tokens <= 300 + 6


async def test_the_same_seed_gives_the_same_text(gguf) -> None:
    sampling = SamplingParams(temperature=1.2, top_k=0, min_p=0.0, seed=42)
    async with engine(gguf("llama")) as backend:
        first, again = [await run(backend, request(PROMPTS[1], 40, sampling)) for _ in range(2)]
        assert first.tokens == again.tokens
        other = await run(backend, request(PROMPTS[1], 40, SamplingParams(temperature=1.2, seed=43)))
        assert other.tokens != first.tokens


async def test_log_probabilities_are_the_log_softmax_of_the_raw_logits(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        prompt = PROMPTS[2]
        result = await run(backend, request(prompt, 5, logprobs=3, prompt_logprobs=2))
        assert len(result.prompt_logprobs) == len(prompt) - 1
        everything = [*prompt, *result.tokens[0]]
        logits = logits_of(gguf("llama"), everything)
        expected = (
            logits
            - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
            - logits.max(1, keepdims=True)
        )
        for i, scored in enumerate(result.prompt_logprobs + result.logprobs[0]):
            assert scored.logprob == pytest.approx(expected[i, everything[i + 1]], abs=2e-2)
            best = np.argsort(-expected[i])[: len(scored.top)]
            assert [p for _, p in scored.top] == pytest.approx(expected[i, best].tolist(), abs=2e-2)


def logits_of(path: Path, tokens: list[int]) -> np.ndarray:
    """The logits after each token, by llama-cpp-python's own class."""
    llama = llama_cpp.Llama(str(path), n_ctx=2048, logits_all=True, verbose=False)
    llama.eval(tokens)
    return np.array(llama.scores[: len(tokens)], np.float64)


async def test_scoring_without_generating(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        result = await run(backend, request(PROMPTS[3], 0, prompt_logprobs=0))
        assert result.tokens == [[]] and result.finish_reasons == ["length"]
        assert len(result.prompt_logprobs) == len(PROMPTS[3]) - 1


@pytest.mark.parametrize("family", ["llama", "jamba"])
async def test_a_pool_too_small_for_the_load_preempts_and_completes(gguf, family: str) -> None:
    path = gguf(family)
    noise = kernel_noise(path)
    prompts = [[10 + k, 20 + k, *range(30, 90)] for k in range(4)]
    references = [greedy(path, prompt, 120) for prompt in prompts]
    async with engine(path, n_ctx=512) as backend:
        runs = await asyncio.gather(*(run(backend, request(prompt, 120)) for prompt in prompts))
        for result, reference in zip(runs, references, strict=True):
            assert_same_greedy(result.tokens[0], reference, noise)
        assert (await settled(backend)).preemptions > 0


async def test_a_stream_goes_on_while_a_long_prompt_is_computed(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        during: list[int] = []
        talker = backend.generate(request(PROMPTS[0], 600))
        for _ in range(3):
            await anext(talker)
        long = backend.generate(request([4 + i % 300 for i in range(1200)], 1))
        waiting = asyncio.create_task(long.__anext__())
        while not waiting.done():
            event = await anext(talker)
            during += getattr(event, "tokens", [])
        first = waiting.result()
        assert isinstance(first, PromptProgress) and first.processed < 1200
        await talker.aclose()
        await long.aclose()


async def test_what_a_vanished_client_held_is_freed(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        for _ in range(5):
            stream = backend.generate(request(PROMPTS[1], 1000))
            for _ in range(4):
                await anext(stream)
            await stream.aclose()
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached


async def test_bad_requests_fail_alone(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        good = asyncio.create_task(run(backend, request(PROMPTS[0], 50)))
        for prompt in ([], [-1], [10**6]):
            with pytest.raises(BackendError):
                await run(backend, request(prompt, 5))
        with pytest.raises(OverflowError):  # such a number can't even be sent
            await run(backend, request(PROMPTS[0], 5, SamplingParams(top_k=2**70)))
        with pytest.raises(ContextLengthExceeded, match="2048"):
            await run(backend, request([1] * 2000, 100))
        assert len((await good).tokens[0]) == 50
        assert not backend._runs


async def test_the_context_can_be_filled_to_the_last_token(gguf) -> None:
    async with engine(gguf("llama"), n_ctx=256) as backend:
        result = await run(backend, request([7] * 200, 56))
        assert len(result.tokens[0]) == 56 and result.finish_reasons == ["length"]
        scored = await run(backend, request([7] * 256, 0, prompt_logprobs=0))
        assert len(scored.prompt_logprobs) == 255 and scored.finish_reasons == ["length"]


async def test_prefixes_spilled_to_ram_come_back(gguf) -> None:
    path = gguf("llama")
    noise = kernel_noise(path)
    prompts = [[10 + k, *[20 + (k * i) % 300 for i in range(600)]] for k in range(6)]
    async with engine(path, n_ctx=1024) as backend:
        for prompt in prompts:
            await run(backend, request(prompt, 2))
        result = await run(backend, request(prompts[0], 20))
        assert result.cached == 600
        assert_same_greedy(result.tokens[0], greedy(path, prompts[0], 20), noise)
        stats = await settled(backend)
        assert stats.spills >= 4 and stats.restores >= 1 and stats.spilled_bytes > 0


async def test_a_windowed_prefix_that_came_back_from_ram_serves_whoever_shares_a_part_of_it(gguf) -> None:
    path = gguf("swa")
    noise = kernel_noise(path, **EXACT)
    head, tail, other, ask = (
        [3 + (step * i) % 197 for i in range(n)] for step, n in ((7, 100), (11, 100), (5, 500), (3, 5))
    )
    async with engine(path, n_ctx=512, **EXACT_ENGINE) as backend:
        await run(backend, request([*head, *tail], 1))
        await run(backend, request(other, 1))  # the first one goes to RAM
        await run(backend, request([*head, *ask], 1))
        whole = await run(backend, request([*head, *tail, *ask], 20))
        assert whole.cached == 200
        part = await run(backend, request([*head, *tail[:50], *ask], 20))
        assert_same_greedy(whole.tokens[0], greedy(path, [*head, *tail, *ask], 20, **EXACT), noise)
        assert_same_greedy(part.tokens[0], greedy(path, [*head, *tail[:50], *ask], 20, **EXACT), noise)


async def test_a_small_batch_holds_all_sequences(gguf) -> None:
    async with engine(gguf("llama"), n_parallel=16, n_batch=32) as backend:
        prompts = [[5 + k, *range(10, 40)] for k in range(20)]
        runs = await asyncio.gather(*(run(backend, request(prompt, 30)) for prompt in prompts))
        assert all(len(result.tokens[0]) == 30 for result in runs)


async def test_a_model_that_does_not_continue_text_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(FAMILIES, "diffusion", replace(FAMILIES["llama"], architecture="llada"))
    with pytest.raises(ModelLoadError, match="token by token"):
        async with engine(write_model(tmp_path / "llada.gguf", "diffusion")):
            pass


@pytest.mark.parametrize("defect", BROKEN)
async def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, defect: str) -> None:
    path = write_broken(tmp_path / "broken.gguf", defect)
    with pytest.raises(ModelLoadError) as failure:
        async with engine(path):
            pass
    assert str(failure.value) and "\n" not in str(failure.value) and str(path) in str(failure.value)


async def test_a_seedless_request_differs_each_time(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        sampling = SamplingParams(temperature=1.5, top_k=0, min_p=0.0, top_p=1.0)
        texts = {tuple((await run(backend, request(PROMPTS[0], 20, sampling))).tokens[0]) for _ in range(3)}
        assert len(texts) == 3


async def test_greedy_is_not_disturbed_by_sampled_neighbours(gguf) -> None:
    path = gguf("llama")
    wild = SamplingParams(temperature=2.0, top_k=0, min_p=0.0)
    async with engine(path) as backend:
        neighbours = [asyncio.create_task(run(backend, request(PROMPTS[k], 60, wild))) for k in (1, 2, 3)]
        result = await run(backend, request(PROMPTS[0], 40, GREEDY))
        assert_same_greedy(result.tokens[0], greedy(path, PROMPTS[0], 40), kernel_noise(path))
        await asyncio.gather(*neighbours)
