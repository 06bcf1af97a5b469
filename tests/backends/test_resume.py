"""The engine process dies, and what it was at goes on in the next one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.base import (
    COUNTERS,
    BackendError,
    EngineStats,
    EngineUnavailable,
    GenerateRequest,
    SamplingParams,
    TokenChunk,
)
from backends.llama_cpp import backoff, client, engine_handle, tokenizer
from backends.llama_cpp.client import LlamaCppBackend
from tests.models.families import write_model

from .dying_engine import FAILS, KILLS
from .engine_runs import EXACT_ENGINE, GREEDY, Run, engine, request, run, settled, until
from .test_constraints import ORDER, check, json_grammar

HOT = SamplingParams(temperature=1.2, top_k=0, top_p=1.0, min_p=0.0, seed=5)
PENALISED = SamplingParams(
    temperature=1.0, seed=6, repeat_penalty=1.3, frequency_penalty=0.5, presence_penalty=0.5, dry_multiplier=0.8
)
N_TOKENS = 150


def prompt(k: int) -> list[int]:
    return [3 + (7 * i + k) % 200 for i in range(20 + 30 * k)]


def jobs(foretold: list[int]) -> list[GenerateRequest]:
    """Of every kind that a new engine must take up differently."""
    return [
        request(prompt(0), N_TOKENS),
        request(prompt(1), N_TOKENS, HOT, n=3),
        request(prompt(2), N_TOKENS, PENALISED),
        request(prompt(0), N_TOKENS, msgspec.structs.replace(HOT, min_tokens=100, tfs_z=0.9, typical_p=0.9)),
        request(prompt(3), 120, HOT, logprobs=2, prompt_logprobs=1),
        request(prompt(1), N_TOKENS, prediction=foretold),
        request(prompt(1), 300, HOT, grammar=json_grammar(ORDER), n=2),
        request(prompt(2), 300, grammar=json_grammar(ORDER)),
        request(prompt(3), 0, prompt_logprobs=0),
    ]


async def killed(backend: LlamaCppBackend, number: int = signal.SIGKILL) -> None:
    """Kill the engine, and wait for the next one."""
    restarts = backend.stats.restarts
    os.kill(backend.engine_pid, number)
    await until(lambda: backend.stats.restarts > restarts and backend.ready)


async def proven(backend: LlamaCppBackend) -> None:
    """Wait until all that is in flight goes on well."""
    await asyncio.sleep(0.01)
    await until(lambda: all(run.proven for run in backend._runs.values()))


async def next_process(backend: LlamaCppBackend) -> None:
    """Kill the engine, and wait until the next one loads."""
    before = backend.engine_pid
    os.kill(before, signal.SIGKILL)
    await until(lambda: backend.engine_pid != before)


async def generated(backend: LlamaCppBackend, n: int) -> None:
    """Wait until so many tokens have come since the backend was started."""
    await until(lambda: backend.stats.generation_tokens >= n)


def assert_same(result: Run, expected: Run) -> None:
    assert result.tokens == expected.tokens
    assert result.finish_reasons == expected.finish_reasons
    assert result.came_true == expected.came_true
    both = zip(result.logprobs, expected.logprobs, strict=True)
    for ours, theirs in ((result.prompt_logprobs, expected.prompt_logprobs), *both):
        assert [p.logprob for p in ours] == pytest.approx([p.logprob for p in theirs], abs=1e-3)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are started again without much waiting."""
    monkeypatch.setattr(backoff, "FIRST", 0.02)
    monkeypatch.setattr(backoff, "LONGEST", 0.1)


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch, at_once: None) -> None:
    """Engines die of the token KILLS, and can't compute the token FAILS."""
    monkeypatch.setattr(engine_handle, "MODULE", "tests.backends.dying_engine")


async def test_every_kind_of_request_goes_on_as_if_nothing_had_happened(gguf, at_once: None) -> None:
    async with engine(gguf("llama"), n_parallel=16, **EXACT_ENGINE) as backend:
        foretold = (await run(backend, request(prompt(1), N_TOKENS))).tokens[0]
        foretold[60:70] = [9] * 10
        expected = await asyncio.gather(*(run(backend, job) for job in jobs(foretold)))
        running = [asyncio.create_task(run(backend, job)) for job in jobs(foretold)]
        for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV):
            await proven(backend)
            await killed(backend, number)
        for result, reference in zip(await asyncio.gather(*running), expected, strict=True):
            assert_same(result, reference)
        assert any(expected[5].came_true[0]) and not all(expected[5].came_true[0])
        for i in (6, 7):
            check(backend, expected[i], ORDER)
        assert backend.stats.restarts == 3


async def test_samplers_that_learn_from_logits_keep_what_was_sent_and_go_on(gguf, at_once: None) -> None:
    samplers = [
        SamplingParams(seed=1, mirostat=1),
        SamplingParams(seed=1, mirostat=2),
        SamplingParams(seed=1, samplers=("min_p", "adaptive_p"), adaptive_target=0.5),
        SamplingParams(seed=1, xtc_probability=0.5),
        SamplingParams(temperature=1.5),
    ]
    async with engine(gguf("llama")) as backend:
        running = [asyncio.create_task(run(backend, request(prompt(1), 600, sampling))) for sampling in samplers]
        await generated(backend, 100)
        await killed(backend)
        for task in running:
            result = await task
            assert len(result.tokens[0]) == 600 and result.progress == 1


async def test_a_prompt_that_is_being_computed_is_computed_again(gguf, at_once: None) -> None:
    long = [3 + (11 * i) % 200 for i in range(1800)]
    async with engine(gguf("llama"), n_ctx=4096, n_ubatch=64, **EXACT_ENGINE) as backend:
        reference = await run(backend, request(long, 20, prompt_logprobs=0, cache_prompt=False))
        events = backend.generate(request(long, 20, prompt_logprobs=0, cache_prompt=False))
        result = Run([[]], [None], [[]], [[]])
        async with aclosing(events):
            processed = []
            async for event in events:
                if isinstance(event, TokenChunk):
                    result.tokens[0] += event.tokens
                    continue
                processed.append(event.processed)
                result.prompt_logprobs += event.logprobs
                if len(processed) == 3:
                    os.kill(backend.engine_pid, signal.SIGKILL)
        assert processed == sorted(set(processed)) and processed[-1] == 1800
        assert result.tokens == reference.tokens
        assert [p.logprob for p in result.prompt_logprobs] == pytest.approx(
            [p.logprob for p in reference.prompt_logprobs], abs=1e-3
        )


async def test_a_client_that_leaves_and_sequences_that_are_stopped_meanwhile_are_not_computed_again(
    gguf, at_once: None
) -> None:
    async with engine(gguf("llama")) as backend:
        stays, leaves = request(prompt(1), 1000, HOT, n=3), request(prompt(2), 1000)
        indices = set()
        async with aclosing(backend.generate(stays)) as events:
            await anext(events)
            gone = asyncio.create_task(run(backend, leaves))
            await generated(backend, 30)
            os.kill(backend.engine_pid, signal.SIGKILL)
            await until(lambda: not backend.ready)
            gone.cancel()
            backend.cancel(stays.id, 0)
            backend.cancel(stays.id, 2)
            await until(lambda: backend.ready)
            await until(lambda: bool(backend.stats.slots))
            assert [slot.index for slot in backend.stats.slots] == [1]
            async for event in events:
                if isinstance(event, TokenChunk) and event.finish_reason:
                    indices.add(event.index)
        assert indices == {1}
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached


async def test_what_has_ended_and_is_not_read_yet_is_not_computed_again(gguf, at_once: None) -> None:
    async with engine(gguf("llama")) as backend, aclosing(backend.generate(request(prompt(0), 50))) as events:
        await anext(events)
        computed = (await settled(backend)).generation_tokens
        await killed(backend)
        assert sum([len(event.tokens) async for event in events if isinstance(event, TokenChunk)]) == computed == 50
        assert backend.stats.generation_tokens == computed


async def test_requests_that_come_while_the_engine_is_started_again_wait_for_it(gguf, at_once: None) -> None:
    async with engine(gguf("llama")) as backend:
        os.kill(backend.engine_pid, signal.SIGKILL)
        await until(lambda: not backend.ready)
        assert len((await run(backend, request(prompt(0), 5))).tokens[0]) == 5
        assert backend.stats.restarts == 1


async def test_an_engine_that_dies_while_it_loads_is_started_once_more(gguf, at_once: None) -> None:
    async with engine(gguf("llama")) as backend:
        running = asyncio.create_task(run(backend, request(prompt(1), 1900)))
        await generated(backend, 20)
        for _ in range(3):
            await next_process(backend)
        assert len((await running).tokens[0]) == 1900
        assert backend.stats.restarts == 1


async def test_counters_never_go_back(gguf, at_once: None) -> None:
    async with engine(gguf("llama")) as backend:
        await run(backend, request(prompt(3), N_TOKENS))
        seen = await settled(backend)
        await killed(backend)
        assert backend.stats.running == 0 and backend.stats.cells_used == 0
        await run(backend, request(prompt(3), 5))
        after = await settled(backend)
    assert all(getattr(after, name) >= getattr(seen, name) for name in COUNTERS)
    assert after.prompt_tokens > seen.prompt_tokens and after.steps > seen.steps and after.restarts == 1
    gauges = {"running", "waiting", "cells_total", "cells_used", "cells_cached", "cached_sequences"}
    gauges |= {"spilled_bytes", "spilled_sequences", "slots", "running_adapters", "waiting_adapters"}
    assert {*COUNTERS, *gauges} == set(EngineStats.__struct_fields__)


async def test_requests_that_kill_the_engine_fail_and_the_others_go_on(gguf, mortal: None) -> None:
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        good = [request(prompt(k % 4), 400, HOT) for k in range(7)]
        expected = [(await run(backend, job)).tokens for job in good[:4]]
        begun = (await settled(backend)).generation_tokens
        running = [asyncio.create_task(run(backend, job)) for job in good]
        await generated(backend, begun + 100)
        poisons = [asyncio.create_task(run(backend, request([5, KILLS, 6], 20))) for _ in range(2)]
        for poison in poisons:
            with pytest.raises(BackendError, match="died twice") as failure:
                await poison
            assert not isinstance(failure.value, EngineUnavailable)
        results = [(await task).tokens for task in running]
        assert results == [expected[k % 4] for k in range(7)]
        assert 3 <= backend.stats.restarts <= 6


async def test_a_batch_that_cannot_be_computed_fails_the_request_that_it_is_due_to_alone(gguf, mortal: None) -> None:
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        reference = await run(backend, request(prompt(1), N_TOKENS))
        good = [asyncio.create_task(run(backend, request(prompt(1), N_TOKENS, n=2)))]
        await asyncio.sleep(0.1)
        good.append(asyncio.create_task(run(backend, request(prompt(2), N_TOKENS, grammar=json_grammar(ORDER)))))
        with pytest.raises(BackendError, match="llama_decode: -3"):
            await run(backend, request([5, FAILS, 6], 20))
        assert (await good[0]).tokens == reference.tokens * 2
        check(backend, await good[1], ORDER)
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached and stats.restarts == 0


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """Meanwhile there is no such file."""
    away = path.with_suffix(".away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


async def test_a_model_that_cannot_be_loaded_again(gguf, tmp_path: Path, at_once: None, caplog: Any) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(gguf("llama"), path)
    async with engine(path) as backend:
        stream = asyncio.create_task(run(backend, request(prompt(1), 1900)))
        await generated(backend, 10)
        with gone(path):
            os.kill(backend.engine_pid, signal.SIGKILL)
            with pytest.raises(EngineUnavailable, match="cannot be started again"):
                await stream
            assert not backend.ready
            with pytest.raises(EngineUnavailable, match="cannot be started again"):
                await run(backend, request(prompt(1), 5))
            failures = [record for record in caplog.records if "cannot be started" in record.message]
            assert len(failures) >= client.LOADS
        await until(lambda: backend.ready)
        assert len((await run(backend, request(prompt(1), 5))).tokens[0]) == 5


async def test_another_model_of_that_name_is_not_taken_for_it(gguf, tmp_path: Path, at_once: None) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(gguf("llama"), path)
    async with engine(path, n_ctx=256, n_parallel=2) as backend:
        path.unlink()
        write_model(path, "qwen2")
        os.kill(backend.engine_pid, signal.SIGKILL)
        await until(lambda: backend._unavailable is not None)
        with pytest.raises(EngineUnavailable):
            await run(backend, request(prompt(0), 5, GREEDY))


async def test_the_backend_stops_while_the_engine_is_started_again(gguf, at_once: None) -> None:
    async with engine(gguf("llama")) as backend:
        stream = asyncio.create_task(run(backend, request(prompt(1), 1000)))
        await generated(backend, 10)
        await next_process(backend)
        last = backend.engine_pid
    with pytest.raises(EngineUnavailable, match="stopped"):
        await stream
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


async def test_without_its_supervisor_nobody_waits_for_ever(gguf, at_once: None, caplog: Any) -> None:
    async with engine(gguf("llama")) as backend:
        stream = asyncio.create_task(run(backend, request(prompt(1), 1900)))
        await generated(backend, 10)

        def mistaken(reason: str) -> None:
            raise ZeroDivisionError

        backend._down = mistaken  # type: ignore[method-assign]
        os.kill(backend.engine_pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailable, match="restart the server"):
            await stream
        assert not backend.ready and "no longer supervised" in caplog.text
        with pytest.raises(EngineUnavailable, match="restart the server"):
            await run(backend, request(prompt(1), 5))


async def test_tokenizing_and_its_death_leave_streams_alone(gguf) -> None:
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        reference = await run(backend, request(prompt(1), N_TOKENS))
        stream = asyncio.create_task(run(backend, request(prompt(1), N_TOKENS)))
        os.kill(backend.tokenizer.pid, signal.SIGKILL)
        assert await backend.tokenizer.encode("the time", add_special=False, parse_special=False)
        assert (await stream).tokens == reference.tokens


async def test_a_tokenizer_that_cannot_be_started_again(gguf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its restart fails nobody, as long as it succeeds. Without it, what needs no tokenizer goes on."""
    monkeypatch.setattr(tokenizer, "RESTART_DELAYS", (0.0, 0.05))
    path = tmp_path / "model.gguf"
    shutil.copy(gguf("llama"), path)
    async with engine(path) as backend:

        async def encode() -> list[int]:
            return await backend.tokenizer.encode("the time", add_special=False, parse_special=False)

        tokens = await encode()
        os.kill(backend.tokenizer.pid, signal.SIGKILL)
        again = asyncio.create_task(encode())
        await until(lambda: again.done() or not backend.ready)
        assert backend.ready and again.result() == tokens
        with gone(path):
            os.kill(backend.tokenizer.pid, signal.SIGKILL)
            await until(lambda: not backend.ready)
            with pytest.raises(EngineUnavailable, match="tokenizer"):
                await encode()
            assert len((await run(backend, request(prompt(1), 5))).tokens[0]) == 5
        await until(lambda: backend.ready)
        assert await encode() == tokens
