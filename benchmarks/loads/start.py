"""Starting a server: when it is ready, when its first token comes, and the memory it holds after some work."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.prompts import Prompts
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, ask, closed_loop

READY = Measure("ready", "s", False)
FIRST = Measure("first token after ready", "s", False)
MEMORY = Measure("memory", "MB", False)


@dataclass(frozen=True)
class Start(Load):
    """Always alone on the machine: pages of the model's file would count half where two servers map it."""

    name: str = "start"
    what: str = "start, and resident memory of all processes after 8 requests at a time"
    fresh: bool = True
    warm_up: bool = False
    n_words: int = 20
    n_tokens: int = 16

    @property
    def measures(self) -> tuple[Measure, ...]:
        return READY, FIRST, MEMORY

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        first = await ask(server, prompts.question(self.n_words), 1)
        questions = [prompts.question(self.n_words) for _ in range(self.parallel)]
        await closed_loop((ask(server, question, self.n_tokens) for question in questions), self.parallel)
        figures = {READY.name: server.ready_after, FIRST.name: first.time_to_first}
        if held := server.memory():
            figures[MEMORY.name] = held.megabytes
        return figures
