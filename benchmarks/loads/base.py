"""What a load is: requests to one server, and the figures that come of them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from benchmarks.answer import Answer
from benchmarks.prompts import Message, Prompts, TokenCount
from benchmarks.server_process import ServerProcess

Figures = dict[str, float]
"""A run's result by measure."""
T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    name: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True)
class Limit:
    """The same work without a server, for the programs that tell what the kernels allow."""

    measure: str
    """The load's measure that the limit's speed is compared with, generated tokens per second."""
    n_prompt: int
    """Tokens per sequence; 0: the time of the prompts doesn't count."""
    n_generate: int
    n_parallel: int


class Load(ABC):
    """Implementations are frozen dataclasses whose fields are the load's sizes."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def what(self) -> str:
        """The load in a line, for the table."""

    @property
    @abstractmethod
    def measures(self) -> Sequence[Measure]: ...

    @abstractmethod
    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        """Raises Refused, UnequalWork."""

    async def calibrated(self, server: ServerProcess, prompts: Prompts) -> Load:
        """The load with sizes that suit the machine, measured on one server before the first round."""
        return self

    @property
    def parallel(self) -> int:
        """Sequences that the servers are set up to compute together."""
        return 8

    @property
    def ctx_per_sequence(self) -> int:
        return 2048

    @property
    def fresh(self) -> bool:
        """Whether each run needs a server that has just been started."""
        return False

    @property
    def warm_up(self) -> bool:
        """Whether a server gets a short request before its first run."""
        return True

    def limit(self, count: TokenCount) -> Limit | None:
        """The same work for programs without a server. `count`: as for `Prompts`."""
        return None

    @property
    def trained(self) -> bool:
        """Whether it means something only for a model that has learnt something."""
        return False


class UnequalWork(Exception):
    """A server generated something else than was asked for: its figures can't be compared."""


async def ask(server: ServerProcess, messages: list[Message], n_tokens: int, **fields: Any) -> Answer:
    """One answer of exactly `n_tokens`. Raises Refused, UnequalWork."""
    answer = await server.chat(messages, n_tokens, **fields)
    if answer.n_tokens != n_tokens:
        raise UnequalWork(f"{server.peer.name} generated {answer.n_tokens} tokens of {n_tokens}")
    return answer


@asynccontextmanager
async def all_or_none() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises what its first failing task raised."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def closed_loop(jobs: Iterable[Coroutine[Any, Any, T]], n_clients: int) -> list[T]:
    """Each client takes the next job as soon as its last one is done. What a job raises ends them all."""
    results: list[T] = []
    waiting = iter(jobs)

    async def client() -> None:
        for job in waiting:
            results.append(await job)

    try:
        async with all_or_none() as group:
            for _ in range(n_clients):
                group.create_task(client())
    finally:
        for job in waiting:
            job.close()
    return results


def wall(answers: Sequence[Answer]) -> float:
    """Seconds from the first request to the last token."""
    return max(answer.end for answer in answers) - min(answer.sent for answer in answers)


def tokens_per_second(answers: Sequence[Answer]) -> float:
    """Generated, over the whole time, prompts included."""
    return sum(answer.n_tokens for answer in answers) / wall(answers)


def median_time_to_first(answers: Sequence[Answer]) -> float:
    return median(answer.time_to_first for answer in answers)
