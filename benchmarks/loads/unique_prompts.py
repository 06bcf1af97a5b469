"""Many clients with prompts that have nothing in common: how much is done in all."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, median

from benchmarks.prompts import Prompts, TokenCount
from benchmarks.server_process import ServerProcess

from .base import Figures, Limit, Load, Measure, ask, closed_loop, median_time_to_first, tokens_per_second

TOTAL = Measure("total", "tok/s", True)
FIRST = Measure("time to first token", "s", False)
GAP = Measure("mean gap", "s", False)
N_TEMPLATE = 8
"""Tokens that ChatML, the template of the models made here, puts around a question."""


@dataclass(frozen=True)
class UniquePrompts(Load):
    n_clients: int = 8
    n_words: int = 100
    n_tokens: int = 32

    @property
    def name(self) -> str:
        return f"unique-{self.n_clients}"

    @property
    def what(self) -> str:
        clients = f"{self.n_clients} clients" if self.n_clients > 1 else "one client"
        return f"{clients}, unique prompts: {self.n_words} words in, {self.n_tokens} tokens out"

    @property
    def n_requests(self) -> int:
        return max(self.n_clients, min(2 * self.n_clients, 16), 4)

    @property
    def parallel(self) -> int:
        return max(self.n_clients, 4)

    @property
    def measures(self) -> tuple[Measure, ...]:
        return TOTAL, FIRST, GAP

    def limit(self, count: TokenCount) -> Limit:
        prompts = Prompts(self.name, count)
        n_prompt = round(mean(count(prompts.words(self.n_words)) for _ in range(100))) + N_TEMPLATE
        return Limit(TOTAL.name, n_prompt, self.n_tokens, self.n_clients)

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        questions = [prompts.question(self.n_words) for _ in range(self.n_requests)]
        answers = await closed_loop((ask(server, question, self.n_tokens) for question in questions), self.n_clients)
        return {
            TOTAL.name: tokens_per_second(answers),
            FIRST.name: median_time_to_first(answers),
            GAP.name: median(answer.mean_gap for answer in answers),
        }
