"""Starting a server: when it is ready, when its first token comes, and the memory it holds after some work."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from benchmarks.answer import Refused
from benchmarks.prompts import Prompts
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, UnequalWork, ask, closed_loop
from .json_schema import fill_in

READY = Measure("ready", "s", False)
FIRST = Measure("first token", "s", False)
"""From the start on: a server that is ready early because it leaves work to its first request gains nothing here."""
MEMORY = Measure("memory", "MB", False)
SCHEMA_MEMORY = Measure("memory with schemas", "MB", False)


@dataclass(frozen=True)
class Start(Load):
    """Always alone on the machine: pages of the model's file would count half where two servers map it."""

    name: str = "start"
    what: str = "start, and resident memory of all processes after 8 requests at a time, then after some JSON forms"
    fresh: bool = True
    warm_up: bool = False
    n_words: int = 20
    n_tokens: int = 16
    n_forms: int = 2

    @property
    def measures(self) -> tuple[Measure, ...]:
        return READY, FIRST, MEMORY, SCHEMA_MEMORY

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        first = await ask(server, prompts.question(self.n_words), 1)
        questions = [prompts.question(self.n_words) for _ in range(self.parallel)]
        await closed_loop((ask(server, question, self.n_tokens) for question in questions), self.parallel)
        figures = {READY.name: server.ready_after, FIRST.name: server.ready_after + first.time_to_first}
        if held := server.memory():
            figures[MEMORY.name] = held.megabytes
        with suppress(Refused, UnequalWork):  # one that can't do schemas has no figure for them
            forms = [prompts.question(self.n_words) for _ in range(self.n_forms)]
            await closed_loop((fill_in(server, form) for form in forms), self.n_forms)
            if held := server.memory():
                figures[SCHEMA_MEMORY.name] = held.megabytes
        return figures
