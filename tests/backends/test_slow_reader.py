"""A reader that takes nothing: what waits for it is bounded, and its sequence gives its cells back."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing

import pytest

from backends.base import BackendError, SamplingParams, TokenChunk

from .engine_runs import engine, request, run, settled

PROMPT = [1, 2, 3, 4, 5]
ENDLESS = SamplingParams(temperature=0.0, ignore_eos=True)
MOST = 20


async def test_what_waits_for_a_reader_is_bounded(gguf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.llama_cpp.client.MAX_UNTAKEN", MOST)
    monkeypatch.setattr("backends.llama_cpp.client.FEW", 1)
    async with engine(gguf("llama")) as backend:
        async with aclosing(backend.generate(request(PROMPT, 400, ENDLESS))) as events:
            await anext(events)
            stats = await settled(backend)
            assert stats.cells_used == stats.cells_cached
            assert MOST <= stats.generation_tokens < 400
            taken = [await anext(events) for _ in range(MOST + 1)]
            assert all(isinstance(event, TokenChunk) for event in taken)
            with pytest.raises(BackendError, match="too slowly"):
                await anext(events)
        result = await run(backend, request(PROMPT, 10, ENDLESS))
        assert len(result.tokens[0]) == 10


async def test_slow_readers_together(gguf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has less than one alone may have."""
    monkeypatch.setattr("backends.llama_cpp.client.FEW", MOST)
    monkeypatch.setattr("backends.llama_cpp.client.MAX_UNTAKEN_IN_ALL", 2 * MOST)
    async with engine(gguf("llama")) as backend, AsyncExitStack() as readers:
        for _ in range(3):
            events = await readers.enter_async_context(aclosing(backend.generate(request(PROMPT, 400, ENDLESS))))
            await anext(events)
        stats = await settled(backend)
        assert stats.generation_tokens < 3 * 400
        assert backend.ended >= 2


async def test_whose_answer_is_complete_is_ended(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        async with aclosing(backend.generate(request(PROMPT, 30, ENDLESS))) as events:
            await anext(events)
            await settled(backend)
            assert backend.ended == 1
        assert backend.ended == 0
