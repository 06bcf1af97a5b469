"""Conversations: each turn's prompt is all that was said before, and something new."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.answer import Answer
from benchmarks.prompts import Message, Prompts, assistant, system, user
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, ask, closed_loop, median_time_to_first, tokens_per_second

TOTAL = Measure("total", "tok/s", True)
FIRST = Measure("time to first token, later turns", "s", False)


@dataclass(frozen=True)
class Chat(Load):
    name: str = "chat"
    n_clients: int = 4
    n_turns: int = 4
    n_words: int = 40
    n_tokens: int = 32

    @property
    def what(self) -> str:
        return (
            f"{self.n_clients} conversations at a time, of {self.n_turns} turns: {self.n_words} words in, "
            f"{self.n_tokens} tokens out"
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        return TOTAL, FIRST

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        openings = [system(prompts.words(self.n_words)) for _ in range(self.n_clients)]
        turns = [[user(prompts.words(self.n_words)) for _ in range(self.n_turns)] for _ in openings]
        jobs = (self._talk(server, opening, said) for opening, said in zip(openings, turns, strict=True))
        talks = await closed_loop(jobs, self.n_clients)
        return {
            TOTAL.name: tokens_per_second([answer for talk in talks for answer in talk]),
            FIRST.name: median_time_to_first([answer for talk in talks for answer in talk[1:]]),
        }

    async def _talk(self, server: ServerProcess, opening: Message, turns: list[Message]) -> list[Answer]:
        messages = [opening]
        answers = []
        for turn in turns:
            messages.append(turn)
            answers.append(await ask(server, messages, self.n_tokens))
            messages.append(assistant(answers[-1].text))
        return answers
