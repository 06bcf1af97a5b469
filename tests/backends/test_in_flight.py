"""A request in flight, without an engine."""

from __future__ import annotations

from backends.base import GenerateRequest, PromptProgress, SamplingParams, TokenChunk, TokenLogprob
from backends.llama_cpp.in_flight import LOGPROBS, Run


def scored(n_top: int) -> TokenLogprob:
    return TokenLogprob(-1.0, [(token, -1.0) for token in range(n_top)])


async def test_large_events_count_as_several() -> None:
    """What waits for a slow reader is bounded in memory, whatever it has asked for."""
    run = Run(GenerateRequest(id="a", prompt=[1], max_tokens=9, sampling=SamplingParams()))
    run.add_progress(PromptProgress("a", 1, 0, 0.0, done=True))
    run.add_chunk(TokenChunk("a", 0, [1]))
    run.add_chunk(TokenChunk("a", 0, [1], [scored(LOGPROBS)]))
    assert run.untaken == 3
    run.add_chunk(TokenChunk("a", 0, [1], [scored(1024)]))
    assert run.untaken == 3 + 1024 // LOGPROBS
    run.add_progress(PromptProgress("a", 1, 0, 0.0, logprobs=[scored(5)] * 1024))
    assert run.untaken == 3 + 1024 // LOGPROBS + 5 * 1024 // LOGPROBS
    run.end(0)
    while await run.take() is not None:
        pass
    assert run.untaken == 0
