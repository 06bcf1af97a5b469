"""OpenAI's `prediction`: the client knows most of the answer beforehand, as of a file that is to be edited."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from benchmarks.prompts import Prompts
from benchmarks.server_process import ServerProcess
from benchmarks.words import WORDS

from .base import Figures, Load, Measure, ask

WHOLE = Measure("answer", "tok/s", True)


@dataclass(frozen=True)
class Prediction(Load):
    name: str = "prediction"
    n_words: int = 60
    n_tokens: int = 300
    every: int = 20
    """One word in so many of the prediction is wrong."""
    parallel: int = 4

    @property
    def what(self) -> str:
        return (
            f"one stream whose greedy answer of {self.n_tokens} tokens was predicted, every {self.every}th word wrong "
            "(peers without `prediction` just generate)"
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (WHOLE,)

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        question = prompts.question(self.n_words)
        # The first token comes after markup, where these models have no habit and the kernels' last bits may decide:
        # with the prompt in the cache, both answers below begin by the same computation.
        await ask(server, question, 1, temperature=0)
        known = await ask(server, question, self.n_tokens, temperature=0)
        predicted = {"type": "content", "content": altered(known.text, self.every, prompts.random)}
        answer = await ask(server, question, self.n_tokens, temperature=0, prediction=predicted)
        return {WHOLE.name: answer.n_tokens / (answer.end - answer.sent)}


def altered(text: str, every: int, random: Random) -> str:
    """Every so-manieth word replaced; spaces stay as they are."""
    words = text.split(" ")
    for i in range(every, len(words), every):
        words[i] = random.choice(WORDS)
    return " ".join(words)
