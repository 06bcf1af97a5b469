"""LoRA adapters in a real engine: what it computes with them is what it computes with merged weights."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backends.base import AdapterLoadError, AdapterSet, InvalidRequest, ModelLoadError, UnknownAdapter
from backends.llama_cpp import backoff
from backends.llama_cpp.client import LlamaCppBackend
from tests.models.adapters import merge, write_adapter
from tests.models.families import FAMILIES
from tests.models.reference import Reference, assert_same_greedy, greedy, kernel_noise

from .engine_runs import EXACT, EXACT_ENGINE, engine, request, run, settled, until
from .test_stress import do, jobs

Write = Callable[..., Path]
PROMPT = [33 + 7 * i % 90 for i in range(50)]


@pytest.fixture(scope="module")
def adapter(gguf: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """An adapter for a family's model, written once."""
    folder = tmp_path_factory.mktemp("adapters")

    def path(family: str, seed: int) -> Path:
        file = folder / f"{family}-{seed}.gguf"
        return file if file.exists() else write_adapter(file, gguf(family), seed=seed)

    return path


def of(path: Path, prompt: list[int], max_tokens: int) -> Reference:
    return greedy(path, prompt, max_tokens, **EXACT)


def merged(folder: Path, model: Path, files: list[Path], adapters: AdapterSet) -> Path:
    """The model with these adapters in its weights."""
    name = "-".join(f"{number}_{scale}" for number, scale in adapters)
    return merge(folder / f"merged {name}.gguf", model, [(files[number], scale) for number, scale in adapters])


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_adapter_is_as_good_as_merged_weights(gguf, adapter, family: str, tmp_path: Path) -> None:
    model = gguf(family)
    files = [adapter(family, 1), adapter(family, 2)]
    noise = max(kernel_noise(model, **EXACT), 1e-3)
    sets: list[AdapterSet] = [(), ((0, 1.0),), ((1, 0.5),), ((0, 1.0), (1, -0.5))]
    async with engine(model, adapters=tuple(map(str, files)), **EXACT_ENGINE) as backend:
        runs = [await run(backend, request(PROMPT, 40, adapters=adapters, logprobs=0)) for adapters in sets]
    assert len({tuple(result.tokens[0]) for result in runs}) == len(sets), "the adapters make no difference"
    for adapters, result in zip(sets, runs, strict=True):
        reference = of(merged(tmp_path, model, files, adapters), PROMPT, 40)
        assert_same_greedy(result.tokens[0], reference, noise)
        alike = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(result.tokens[0], reference.tokens, strict=True)
        )
        for step, (token, _) in enumerate(alike):
            row = reference.logits[step].astype(np.float64)
            expected = row[token] - np.logaddexp.reduce(row)
            assert result.logprobs[0][step].logprob == pytest.approx(expected, abs=4 * noise)


@pytest.mark.parametrize("family", ["llama", "swa", "jamba"])
async def test_everything_at_once_with_adapters(gguf, adapter, family: str, tmp_path: Path) -> None:
    """Requests of every kind, on a pool far too small, with other adapters each: every text is its own model's."""
    model = gguf(family)
    files = [adapter(family, 1), adapter(family, 2)]
    noise = max(kernel_noise(model, **EXACT), 1e-3)
    sets: list[AdapterSet] = [(), ((0, 1.0),), ((1, 1.0),)]
    models = [merged(tmp_path, model, files, adapters) for adapters in sets]
    load = jobs(random.Random(family))[:24]
    references = [of(models[i % 3], job.prompt, job.max_tokens) for i, job in enumerate(load)]
    options = {"n_ctx": 512, "n_parallel": 4, "cache_ram_mib": 1, **EXACT_ENGINE}
    async with engine(model, adapters=tuple(map(str, files)), **options) as backend:
        together = zip(load, references, strict=True)
        await asyncio.gather(*(do(backend, job, ref, noise, sets[i % 3]) for i, (job, ref) in enumerate(together)))
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached
        assert (stats.prefix_cache_hits and stats.draft_tokens_accepted) or family == "jamba"


async def test_a_draft_model_drafts_for_all_sets_alike(gguf, adapter, tmp_path: Path) -> None:
    """Without adapters, by itself: for an adapted sequence it is often wrong, and the text is the same."""
    model, files = gguf("llama"), [adapter("llama", 1)]
    noise = max(kernel_noise(model, **EXACT), 1e-3)
    options = {"draft_model_path": str(model), "speculation": ("draft-simple",), **EXACT_ENGINE}
    async with engine(model, adapters=(str(files[0]),), **options) as backend:
        runs = await asyncio.gather(*(run(backend, request(PROMPT, 150, adapters=a)) for a in ((), ((0, 1.0),))))
        assert (await settled(backend)).draft_tokens
    for result, adapters in zip(runs, ((), ((0, 1.0),)), strict=True):
        assert_same_greedy(result.tokens[0], of(merged(tmp_path, model, files, adapters), PROMPT, 150), noise)


async def test_loading_and_unloading_while_others_stream(gguf, adapter) -> None:
    model, file = gguf("llama"), adapter("llama", 1)
    async with engine(model) as backend:
        alone = await run(backend, request(PROMPT, 300))
        stream = asyncio.create_task(run(backend, request(PROMPT, 300)))
        first = await backend.load_adapter(str(file))
        second = await backend.load_adapter(str(file))
        assert (first, second) == (0, 1)
        adapted = [await run(backend, request(PROMPT, 40, adapters=((number, 1.0),))) for number in (first, second)]
        assert adapted[0].tokens == adapted[1].tokens != [alone.tokens[0][:40]]
        assert adapted[0].cached == adapted[1].cached == 0
        running = asyncio.create_task(run(backend, request(PROMPT, 200, adapters=((first, 1.0),))))
        await until(lambda: backend._adapters._adapters[first].uses == 1)
        backend.unload_adapter(first)
        backend.unload_adapter(99)
        with pytest.raises(UnknownAdapter):
            await run(backend, request(PROMPT, 40, adapters=((first, 1.0),)))
        assert len((await running).tokens[0]) == 200
        third = await backend.load_adapter(str(file))
        assert third == 2
        again = await run(backend, request(PROMPT, 40, adapters=((third, 1.0),)))
        assert (again.tokens, again.cached) == (adapted[0].tokens, 0)
        assert_same_greedy((await stream).tokens[0], of(model, PROMPT, 300), kernel_noise(model))
        assert not backend.stats.restarts


async def test_what_cannot_be_loaded_harms_nobody(gguf, adapter, tmp_path: Path) -> None:
    async with engine(gguf("llama")) as backend:
        pid = backend.engine_pid
        for file in (tmp_path / "none.gguf", gguf("llama"), adapter("qwen2", 1), tmp_path):
            with pytest.raises(AdapterLoadError, match=r"^cannot .*LoRA adapter .*: [^\n]+$"):
                await backend.load_adapter(str(file))
        await run(backend, request(PROMPT, 5))
        assert backend.engine_pid == pid
    with pytest.raises(ModelLoadError, match="cannot load the LoRA adapter"):
        async with engine(gguf("llama"), adapters=(str(gguf("llama")),)):
            raise AssertionError("it was loaded")


async def test_adapters_outlive_the_engine(gguf, adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.02)
    model = gguf("llama")
    own = tmp_path / "own.gguf"
    own.write_bytes(adapter("llama", 2).read_bytes())
    async with engine(model, adapters=(str(adapter("llama", 1)),), **EXACT_ENGINE) as backend:
        mine = await backend.load_adapter(str(own))
        orders = [
            lambda a=adapters: request(PROMPT, 400, adapters=a, n=2) for adapters in ((), ((0, 1.0),), ((mine, 1.0),))
        ]
        expected = [await run(backend, order()) for order in orders]
        running = [asyncio.create_task(run(backend, order())) for order in orders]
        await until(lambda: backend.stats.running == 4)
        await killed(backend)
        assert [(await task).tokens for task in running] == [result.tokens for result in expected]

        own.unlink()
        await killed(backend)
        assert (await run(backend, orders[1]())).tokens == expected[1].tokens
        with pytest.raises(UnknownAdapter):
            await run(backend, orders[2]())

        own.write_bytes(adapter("llama", 1).read_bytes())
        mine = await backend.load_adapter(str(own))
        running = [asyncio.create_task(run(backend, order())) for order in orders[:2]]
        doomed = asyncio.create_task(run(backend, request(PROMPT, 1500, adapters=((mine, 1.0),))))
        await until(lambda: backend.stats.running == 4)
        own.write_bytes(adapter("llama", 2).read_bytes() + b" ")
        await killed(backend)
        with pytest.raises(InvalidRequest, match="not loaded"):
            await doomed
        assert [(await task).tokens for task in running] == [result.tokens for result in expected[:2]]


async def killed(backend: LlamaCppBackend) -> None:
    """Kill the engine, and wait for the next one."""
    restarts = backend.stats.restarts
    os.kill(backend.engine_pid, signal.SIGKILL)
    await until(lambda: backend.stats.restarts > restarts and backend.ready)
