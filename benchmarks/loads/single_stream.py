"""One client, one request at a time: how fast tokens follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.prompts import Prompts, TokenCount
from benchmarks.server_process import ServerProcess

from .base import Figures, Limit, Load, Measure, ask, median_time_to_first

DECODE = Measure("decode", "tok/s", True)
FIRST = Measure("time to first token", "s", False)


@dataclass(frozen=True)
class SingleStream(Load):
    name: str = "single"
    n_requests: int = 3
    n_words: int = 20
    n_tokens: int = 96
    parallel: int = 4

    @property
    def what(self) -> str:
        return f"one stream: {self.n_words} words in, {self.n_tokens} tokens out"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return DECODE, FIRST

    def limit(self, count: TokenCount) -> Limit:
        return Limit(DECODE.name, n_prompt=0, n_generate=self.n_tokens, n_parallel=1)

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        questions = [prompts.question(self.n_words) for _ in range(self.n_requests)]
        answers = [await ask(server, question, self.n_tokens) for question in questions]
        return {
            DECODE.name: median(1 / answer.mean_gap for answer in answers),
            FIRST.name: median_time_to_first(answers),
        }
