"""Speculative decoding on real models: the same texts, more than a token a step, and nothing left in the pool."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest

from backends.base import BackendError, EngineStats, ModelLoadError, SamplingParams
from backends.llama_cpp.client import LlamaCppBackend
from server.model_source import find_model
from tests.models.families import FAMILIES, Shape, write_model
from tests.models.reference import Reference, assert_same_greedy, greedy, kernel_noise

from .engine_runs import EXACT, EXACT_ENGINE, Run, engine, request, run, settled
from .test_engine import PROMPTS, logits_of

DRAFTABLE = [name for name, family in FAMILIES.items() if not family.recurrent]
N = 60


def predictions(answer: list[int]) -> dict[str, list[int]]:
    chance = random.Random(1)
    return {
        "right": answer,
        "every 10th altered": [token + 1 if i % 10 == 9 else token for i, token in enumerate(answer)],
        "begins later": answer[20:],
        "ends early": answer[:20],
        "shuffled": chance.sample(answer, len(answer)),
        "absurd": [chance.randrange(3, 200) for _ in range(100)],
        "of one token": answer[:1],
        "one token, often": [answer[0]] * 500,
    }


@pytest.mark.parametrize("family", DRAFTABLE)
async def test_greedy_answers_are_llama_cpp_s_whatever_is_predicted(gguf, family: str) -> None:
    path = gguf(family)
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    references = [greedy(path, prompt, N, **EXACT) for prompt in PROMPTS]
    async with engine(path, **EXACT_ENGINE) as backend:
        for prompt, reference in zip(PROMPTS, references, strict=True):
            for kind, prediction in predictions(reference.tokens).items():
                result = await run(backend, request(prompt, N, prediction=prediction))
                assert_same_greedy(result.tokens[0], reference, noise)
                assert 0 <= sum(result.came_true[0]) <= len(prediction)
                if kind == "right" and result.tokens[0] == reference.tokens:
                    assert sum(result.came_true[0]) == N
        stats = await settled(backend)
        assert stats.draft_tokens >= stats.draft_tokens_accepted > 0
        assert stats.cells_used == stats.cells_cached


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(DRAFTABLE)))
async def test_memory_that_cannot_be_trimmed_counts_predictions_without_drafting(gguf, family: str) -> None:
    async with engine(gguf(family)) as backend:
        answer = (await run(backend, request(PROMPTS[0], 30))).tokens[0]
        result = await run(backend, request(PROMPTS[0], 30, prediction=answer))
        assert result.tokens[0] != answer or sum(result.came_true[0]) == 30
        assert (await settled(backend)).drafts == 0


async def test_a_right_prediction_takes_far_fewer_steps(gguf) -> None:
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        answer = (await run(backend, request(PROMPTS[1], 200))).tokens[0]
        steps = []
        for _ in range(5):  # on a machine that is busy otherwise, what is measured may speak against drafts
            before = (await settled(backend)).steps
            await run(backend, request(PROMPTS[1], 200, prediction=answer))
            steps.append((await settled(backend)).steps - before)
        assert min(steps) < 100


async def test_what_the_prompt_holds_is_looked_up(gguf) -> None:
    """Greedy random-weight models soon go round in circles."""
    path = gguf("llama")
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    for spec, drafts in ((("ngram-simple",), True), ((), False)):
        async with engine(path, speculation=spec, **EXACT_ENGINE) as backend:
            result = await run(backend, request([5, 6, 7] * 30, 300))
            assert_same_greedy(result.tokens[0], greedy(path, [5, 6, 7] * 30, 300, **EXACT), noise)
            assert bool((await settled(backend)).drafts) is drafts


# Not adaptive-p: it makes so much of the kernels' noise that mere company in the batch changes its text.
SAMPLINGS = {
    "default": SamplingParams(seed=1),
    "wild": SamplingParams(seed=2, temperature=1.5, top_k=0, min_p=0.0),
    "penalties": SamplingParams(seed=3, repeat_penalty=1.3, presence_penalty=0.5, dry_multiplier=0.8),
    "mirostat": SamplingParams(seed=4, mirostat=2),
    "xtc": SamplingParams(seed=5, xtc_probability=0.5),
    "biased": SamplingParams(seed=7, logit_bias={20: 3.0, 21: -100.0}, min_tokens=50),
}


@pytest.mark.parametrize("name", SAMPLINGS)
async def test_a_seed_gives_the_same_text_with_and_without_drafts(name: str) -> None:
    """On the demo model, whose logits lie further apart than the kernels' noise nearly everywhere."""
    sampling = SAMPLINGS[name]
    prompt = [1, *range(300, 340)]
    texts = []
    for spec in ((), ("ngram-simple",)):
        async with engine(find_model(None), speculation=spec, **EXACT_ENGINE) as backend:
            texts.append((await run(backend, request(prompt, 80, sampling))).tokens[0])
            for prediction in (texts[0], [*texts[0][:30], 9, 9, 9, *texts[0][30:]], [11] * 50):
                texts.append((await run(backend, request(prompt, 80, sampling, prediction=prediction))).tokens[0])
    assert all(text == texts[0] for text in texts)


async def test_log_probabilities_are_those_of_each_token(gguf) -> None:
    path = gguf("llama")
    async with engine(path, **EXACT_ENGINE) as backend:
        plain = await run(backend, request(PROMPTS[2], 40, logprobs=3))
        answer = plain.tokens[0]
        result = await run(backend, request(PROMPTS[2], 40, logprobs=3, prediction=answer))
        assert (await settled(backend)).draft_tokens_accepted > 0
        everything = [*PROMPTS[2], *result.tokens[0]]
        logits = logits_of(path, everything)[len(PROMPTS[2]) - 1 :]
        shifted = logits - logits.max(1, keepdims=True)
        expected = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        assert len(result.logprobs[0]) == len(result.tokens[0]) == 40
        for i, scored in enumerate(result.logprobs[0]):
            assert scored.logprob == pytest.approx(expected[i, result.tokens[0][i]], abs=2e-2)
            best = np.argsort(-expected[i])[:3]
            assert [p for _, p in scored.top] == pytest.approx(expected[i, best].tolist(), abs=2e-2)


async def test_an_end_inside_a_draft_ends_the_text(gguf, tmp_path: Path) -> None:
    path = write_model(tmp_path / "ends.gguf", "llama", end_bias=18.0)
    async with engine(path, **EXACT_ENGINE) as backend:
        ended = 0
        for k in range(6):
            prompt = [10 + k, *range(30, 60)]
            plain = await run(backend, request(prompt, 100))
            prediction = [*plain.tokens[0], *range(40, 80)]
            result = await run(backend, request(prompt, 100, prediction=prediction))
            assert result.tokens == plain.tokens and result.finish_reasons == plain.finish_reasons
            ended += plain.finish_reasons == ["stop"]
        assert ended


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 17])
async def test_max_tokens_inside_a_draft_ends_the_text(gguf, max_tokens: int) -> None:
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        answer = (await run(backend, request(PROMPTS[0], 40))).tokens[0]
        result = await run(backend, request(PROMPTS[0], max_tokens, prediction=answer))
        assert len(result.tokens[0]) == max_tokens and result.finish_reasons == ["length"]


async def test_the_context_can_be_filled_to_the_last_token_with_drafts(gguf) -> None:
    async with engine(gguf("llama"), n_ctx=256, **EXACT_ENGINE) as backend:
        answer = (await run(backend, request([7] * 200, 56))).tokens[0]
        result = await run(backend, request([7] * 200, 56, prediction=answer))
        assert len(result.tokens[0]) == 56 and result.finish_reasons == ["length"]


async def test_several_answers_each_follow_the_prediction_by_themselves(gguf) -> None:
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        sampling = SamplingParams(temperature=1.0, seed=7)
        plain = await run(backend, request(PROMPTS[1], 40, sampling, n=4))
        result = await run(backend, request(PROMPTS[1], 40, sampling, n=4, prediction=plain.tokens[2]))
        assert result.tokens == plain.tokens
        assert sum(result.came_true[2]) == 40 > sum(result.came_true[0])


async def settled_without_leftovers(backend: LlamaCppBackend) -> EngineStats:
    stats = await settled(backend)
    assert stats.cells_used == stats.cells_cached
    return stats


def check(runs: list[Run], references: list[Reference], noise: float) -> None:
    for result, reference in zip(runs, references, strict=True):
        assert_same_greedy(result.tokens[0], reference, noise)


@pytest.mark.parametrize("family", DRAFTABLE)
async def test_a_pool_too_small_preempts_with_drafts_as_without(gguf, family: str) -> None:
    path = gguf(family)
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    prompts = [[10 + k, 20 + k, *range(30, 90)] for k in range(4)]
    references = [greedy(path, prompt, 120, **EXACT) for prompt in prompts]
    async with engine(path, n_ctx=512, **EXACT_ENGINE) as backend:
        for prediction in (lambda r: r.tokens, lambda r: [token ^ (i % 9 == 8) for i, token in enumerate(r.tokens)]):
            jobs = [request(p, 120, prediction=prediction(r)) for p, r in zip(prompts, references, strict=True)]
            check(await asyncio.gather(*(run(backend, job) for job in jobs)), references, noise)
        stats = await settled_without_leftovers(backend)
        assert stats.draft_tokens_accepted > 0


async def test_clients_that_go_away_while_drafts_come_true_leave_nothing(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        answer = (await run(backend, request(PROMPTS[1], 400))).tokens[0]
        for patience in range(6):
            stream = backend.generate(request(PROMPTS[1], 1000, prediction=answer))
            for _ in range(patience):
                await anext(stream)
            await stream.aclose()
        await settled_without_leftovers(backend)


async def test_sixty_four_streams_at_once(gguf) -> None:
    path = gguf("llama")
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    prompts = [[10 + k, 90 - k, *range(30, 50)] for k in range(64)]
    references = [greedy(path, prompt, 40, **EXACT) for prompt in prompts]
    async with engine(path, n_ctx=4096, n_parallel=64, **EXACT_ENGINE) as backend:
        jobs = [
            request(p, 40, prediction=r.tokens if k % 2 else r.tokens[::-1])
            for k, (p, r) in enumerate(zip(prompts, references, strict=True))
        ]
        check(await asyncio.gather(*(run(backend, job) for job in jobs)), references, noise)
        await settled_without_leftovers(backend)


async def test_a_prediction_of_tokens_that_there_are_not_is_refused(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        for prediction in ([-1], [10**6]):
            with pytest.raises(BackendError, match="token ids"):
                await run(backend, request(PROMPTS[0], 5, prediction=prediction))


async def test_a_model_drafts_for_itself(gguf) -> None:
    path = gguf("llama")
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    references = [greedy(path, prompt, N, **EXACT) for prompt in PROMPTS]
    async with engine(
        path, speculation=("draft-simple",), draft_model_path=str(path), draft_n_threads=1, **EXACT_ENGINE
    ) as backend:
        for _ in range(2):
            jobs = [request(prompt, N) for prompt in PROMPTS]
            check(await asyncio.gather(*(run(backend, job) for job in jobs)), references, noise)
        stats = await settled_without_leftovers(backend)
        assert "draft model" in " ".join(backend.model.notes)
        # as dear as what it drafts for, it pays hardly ever; but what it drafts comes true
        assert stats.draft_tokens_accepted >= 0.8 * stats.draft_tokens > 0


async def test_another_model_drafts(gguf, tmp_path: Path) -> None:
    path = gguf("llama")
    noise = max(kernel_noise(path, **EXACT), 1e-4)
    other = write_model(tmp_path / "other.gguf", "llama", seed=2, shape=Shape(n_layer=1))
    async with engine(path, n_ctx=512, draft_model_path=str(other), draft_p_min=0.01, **EXACT_ENGINE) as backend:
        jobs = [request([10 + k, *range(30, 90)], 120) for k in range(6)]
        references = [greedy(path, job.prompt, 120, **EXACT) for job in jobs]
        check(await asyncio.gather(*(run(backend, job) for job in jobs)), references, noise)
        await settled_without_leftovers(backend)


async def test_a_draft_model_of_another_vocabulary_is_refused(gguf, tmp_path: Path) -> None:
    other = write_model(tmp_path / "spm.gguf", "llama", spm=True)
    for path, draft in ((gguf("llama"), other), (find_model(None), gguf("llama"))):
        with pytest.raises(ModelLoadError, match="its vocabulary is not that of"):
            async with engine(path, draft_model_path=str(draft)):
                pass


async def test_a_draft_model_that_cannot_draft_is_refused(gguf, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="cannot draft with"):
        async with engine(gguf("llama"), draft_model_path=str(gguf("mamba"))):
            pass
    with pytest.raises(ModelLoadError, match="missing"):
        async with engine(gguf("llama"), draft_model_path=str(tmp_path / "missing.gguf")):
            pass
    async with engine(gguf("mamba"), draft_model_path=str(gguf("mamba"))) as backend:
        assert "no speculative decoding" in " ".join(backend.model.notes)
        assert len((await run(backend, request(PROMPTS[0], 10))).tokens[0]) == 10
