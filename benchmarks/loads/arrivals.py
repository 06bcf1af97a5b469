"""Requests arrive when they will (Poisson), whether or not earlier ones are done: how many are served well?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.answer import Answer
from benchmarks.prompts import Prompts
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, all_or_none, ask, closed_loop, wall

GOODPUT = Measure("goodput", "requests/s", True)
SERVED_WELL = Measure("served well", "%", True)
FIRST = Measure("p90 time to first token", "s", False)

SHARE = 0.7
"""Of the busy server's throughput."""
TIMES_FIRST, TIMES_GAP = 4.0, 5.0
"""Of a lone request's times."""


@dataclass(frozen=True)
class LatencyTarget:
    """What a request must meet to count; seconds."""

    first: float
    """To the first token."""
    gap: float
    """Mean between tokens."""

    def met_by(self, answer: Answer) -> bool:
        return answer.time_to_first <= self.first and answer.mean_gap <= self.gap


@dataclass(frozen=True)
class Arrivals(Load):
    """Sizes follow the machine unless they are given: see `calibrated`."""

    name: str = "arrivals"
    rate: float = 0.0
    """Requests per second."""
    target: LatencyTarget = LatencyTarget(0.0, 0.0)
    n_requests: int = 30
    n_words: int = 100
    n_tokens: int = 32

    @property
    def what(self) -> str:
        return (
            f"{self.n_requests} requests at random times, {self.rate:.2f} a second; those count that have their first "
            f"token within {self.target.first:.2f} s and {self.target.gap * 1000:.0f} ms between tokens"
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        return GOODPUT, SERVED_WELL, FIRST

    async def calibrated(self, server: ServerProcess, prompts: Prompts) -> Arrivals:
        """Fill in what isn't given: a share of what the busy server does, and a multiple of a lone request's times."""
        answers = [await ask(server, prompts.question(self.n_words), self.n_tokens) for _ in range(3)]
        first, gap = (median(values) for values in zip(*((a.time_to_first, a.mean_gap) for a in answers), strict=True))
        target = LatencyTarget(self.target.first or TIMES_FIRST * first, self.target.gap or TIMES_GAP * gap)
        rate = self.rate
        if not rate:
            questions = [prompts.question(self.n_words) for _ in range(2 * self.parallel)]
            busy = await closed_loop((ask(server, q, self.n_tokens) for q in questions), self.parallel)
            rate = SHARE * len(busy) / wall(busy)
        return replace(self, rate=rate, target=target)

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        questions = [prompts.question(self.n_words) for _ in range(self.n_requests)]
        delays = [prompts.random.expovariate(self.rate) for _ in questions]
        arrivals = []
        async with all_or_none() as group:
            for question, delay in zip(questions, delays, strict=True):
                await asyncio.sleep(delay)
                arrivals.append(group.create_task(ask(server, question, self.n_tokens)))
        answers = [arrival.result() for arrival in arrivals]
        good = [answer for answer in answers if self.target.met_by(answer)]
        # Over the time until the last answer: a server that falls behind doesn't gain by it.
        seconds = max(answer.end for answer in answers) - min(answer.sent for answer in answers)
        firsts = sorted(answer.time_to_first for answer in answers)
        return {
            GOODPUT.name: len(good) / seconds,
            SERVED_WELL.name: 100 * len(good) / len(answers),
            FIRST.name: firsts[int(0.9 * len(firsts))],
        }
