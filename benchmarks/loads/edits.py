"""Text that repeats its input, as when a model edits: only a trained model does that."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.prompts import Prompts, user
from benchmarks.server_process import ServerProcess
from benchmarks.words import WORDS

from .base import Figures, Load, Measure

WHOLE = Measure("answer", "tok/s", True)
"""From the question on: of drafts that come true, a whole answer may arrive at once."""


@dataclass(frozen=True)
class Edits(Load):
    name: str = "edits"
    n_requests: int = 8
    n_words: int = 24
    most_tokens: int = 96
    parallel: int = 4
    trained: bool = True

    @property
    def what(self) -> str:
        return f"one stream that repeats the {self.n_words} words it is given"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (WHOLE,)

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        speeds = []
        for _ in range(self.n_requests):
            text = " ".join(prompts.random.choice(WORDS) for _ in range(self.n_words))
            answer = await server.chat(
                [user(f"Repeat after me: {text}")], self.most_tokens, may_end=True, temperature=0
            )
            speeds.append(answer.n_tokens / (answer.end - answer.sent))
        return {WHOLE.name: median(speeds)}
