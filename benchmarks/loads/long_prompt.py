"""A long prompt arrives while others stream: how long their streams stand still, and how long it waits itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.answer import Answer, answer_of
from benchmarks.prompts import Prompts
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, UnequalWork, ask

LARGEST = Measure("largest gap", "s", False)
HIGH = Measure("p99 gap", "s", False)
FIRST = Measure("long prompt's first token", "s", False)


@dataclass(frozen=True)
class LongPrompt(Load):
    name: str = "long-prompt"
    n_streams: int = 4
    n_words: int = 1000
    n_tokens: int = 8
    """Of the long prompt's answer."""
    n_stream_tokens: int = 1000
    """More than they come to: they are cut off when the long prompt has its answer."""
    n_before: int = 12
    """Segments that each stream has had when the long prompt is sent."""
    ctx_per_sequence: int = 3072

    @property
    def what(self) -> str:
        return f"a {self.n_words}-word prompt arrives while {self.n_streams} others stream"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return LARGEST, HIGH, FIRST

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        questions = [prompts.question(20) for _ in range(self.n_streams)]
        long_question = prompts.question(self.n_words)
        streams = [await server.start_chat(question, self.n_stream_tokens) for question in questions]
        try:
            await asyncio.gather(*(stream.arrived(self.n_before) for stream in streams))
            answer = await ask(server, long_question, self.n_tokens)
        finally:
            for stream in streams:
                stream.hang_up()
        gaps = [gap for stream in streams for gap in gaps_between(answer_of(stream), answer.sent, answer.end)]
        if not gaps:
            raise UnequalWork(f"{server.peer.name} had ended the streams before the long prompt came")
        return {
            LARGEST.name: max(gaps),
            HIGH.name: float(np.quantile(gaps, 0.99)),
            FIRST.name: answer.time_to_first,
        }


def gaps_between(stream: Answer, start: float, end: float) -> list[float]:
    """Seconds between the stream's tokens, of the gaps that reach into the time from `start` to `end`. One that was cut
    off has waited until then."""
    times = stream.times if stream.finish_reason else [*stream.times, end]
    return [later - earlier for earlier, later in pairwise(times) if later > start and earlier < end]
