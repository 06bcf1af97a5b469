"""Requests that begin alike: a long system prompt, first met by a server that has never seen it, then met again."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.prompts import Message, Prompts, system
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, ask, closed_loop, wall

COLD = Measure("cold", "s", False)
WARM = Measure("warm", "s", False)


@dataclass(frozen=True)
class SharedPrompt(Load):
    n_shared: int = 512
    """Tokens of the system prompt."""
    n_requests: int = 16
    n_words: int = 20
    n_tokens: int = 32
    fresh: bool = True

    @property
    def name(self) -> str:
        return f"shared-{self.n_shared}"

    @property
    def what(self) -> str:
        return (
            f"{self.n_requests} requests, {self.parallel} at a time, one system prompt of {self.n_shared} tokens, "
            f"{self.n_tokens} out: until the last token"
        )

    @property
    def ctx_per_sequence(self) -> int:
        return self.n_shared + 512

    @property
    def measures(self) -> tuple[Measure, ...]:
        return COLD, WARM

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        shared = system(prompts.tokens(self.n_shared))
        return {measure.name: await self._wave(server, shared, prompts) for measure in self.measures}

    async def _wave(self, server: ServerProcess, shared: Message, prompts: Prompts) -> float:
        """New questions behind the shared prompt; seconds."""
        chats = [[shared, *prompts.question(self.n_words)] for _ in range(self.n_requests)]
        return wall(await closed_loop((ask(server, chat, self.n_tokens) for chat in chats), self.parallel))
