"""What a request cost in tokens and in time; part of both endpoints' responses."""

from __future__ import annotations

import time

import msgspec

from backends.base import PromptProgress as EngineProgress


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionTokensDetails(msgspec.Struct):
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    """Tokens of the prediction that appeared in the completion: where it had come to in the prediction."""
    rejected_prediction_tokens: int = 0
    """Those that did not. They are nobody's cost here, and not among `completion_tokens`."""


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


def usage(
    prompt_tokens: int,
    cached_tokens: int,
    completion_tokens: int,
    accepted: int = 0,
    rejected: int = 0,
    reasoning: int = 0,
) -> Usage:
    """OpenAI's `usage`. A prompt counts once, however many choices continue it."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached_tokens),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=reasoning,
            accepted_prediction_tokens=accepted,
            rejected_prediction_tokens=rejected,
        ),
    )


Timings = dict[str, float]
"""llama-server's `timings`: token counts, milliseconds, tokens per second."""


class PromptProgress(msgspec.Struct):
    """llama-server's `prompt_progress`, on request in streams."""

    total: int
    cache: int
    processed: int
    time_ms: float
    """Since the request was sent to the engine."""


def progress_of(progress: EngineProgress, total: int, started: float) -> PromptProgress:
    """`total` is the prompt's length, `started` when it was sent to the engine, on the monotonic clock."""
    elapsed = (time.monotonic() - started) * 1000
    return PromptProgress(total=total, cache=progress.cached, processed=progress.processed, time_ms=elapsed)
