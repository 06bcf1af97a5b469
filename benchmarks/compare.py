"""One load, all contestants: rounds in which each has a turn, the order reversed from round to round.

A noisy machine so hits all alike. Where a run leaves traces (a warm cache), each turn has a server of its own, alone on
the machine; else the servers stay, and idle while another has its turn, which is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

import msgspec

from .answer import Refused
from .contestants import Contestant, Program, Server
from .limits import LimitFailed, LimitProgram
from .loads.base import Load, UnequalWork
from .peers import Peer, Setup
from .progress import Progress
from .prompts import Prompts, TokenCount
from .results import OURS, Comparison, Run
from .server_process import StartFailed

FAILURES = (Refused, UnequalWork, StartFailed, LimitFailed, TimeoutError, OSError)


@dataclass(frozen=True)
class Plan:
    """Who is compared, and for how long."""

    servers: Sequence[Peer]
    limits: Sequence[LimitProgram]
    setup: Setup
    """Its `parallel` and `ctx`, where they are 0, are the load's."""
    count: TokenCount
    n_pairs: int
    run_seconds: float
    """A turn that takes longer has failed."""
    deadline: float
    """Of `time.monotonic`: no round begins after it."""

    def setup_for(self, load: Load) -> Setup:
        parallel = self.setup.parallel or load.parallel
        return replace(self.setup, parallel=parallel, ctx=self.setup.ctx or parallel * load.ctx_per_sequence)

    def n_turns(self, load: Load) -> int:
        return self.n_pairs * len(self.contestants(load))

    def contestants(self, load: Load) -> list[Contestant]:
        setup, limit = self.setup_for(load), load.limit(self.count)
        servers: list[Contestant] = [Server(peer, setup, load) for peer in self.servers]
        return servers + [Program(program, setup, limit) for program in self.limits if limit and program.can(limit)]


async def compare(load: Load, plan: Plan, progress: Progress) -> Comparison:
    """All rounds of a load. A contestant that fails drops out, and a note says why."""
    match = _Match(load, plan, progress)
    try:
        await match.open()
        for number in range(plan.n_pairs):
            if monotonic() > plan.deadline:
                match.comparison.notes.append(f"out of time after {number} of {plan.n_pairs} rounds")
                break
            await match.round(number)
    finally:
        await match.close()
    return match.comparison


class _Match:
    """A comparison under way."""

    def __init__(self, load: Load, plan: Plan, progress: Progress) -> None:
        self._load = load
        self._plan = plan
        self._progress = progress
        self._contestants = plan.contestants(load)
        setup = plan.setup_for(load)
        self.comparison = Comparison(
            load=load.name,
            what=load.what,
            measures=list(load.measures),
            settings={"threads": str(setup.threads), "parallel": str(setup.parallel), "context": str(setup.ctx)},
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    async def open(self) -> None:
        """Start the servers that stay, and suit the load to the machine, by a peer if there is one."""
        for contestant in list(self._contestants):
            self._show(f"starting {contestant.name}")
            try:
                async with asyncio.timeout(self._plan.run_seconds):
                    await contestant.open()
            except FAILURES as failure:
                await self._drop_out(contestant, failure)
        await self._calibrate()

    async def round(self, number: int) -> None:
        """One turn for each."""
        runs: list[Run] = []
        self.comparison.rounds.append(runs)
        for contestant in self._contestants[:: -1 if number % 2 else 1]:
            self._show(f"{contestant.name}, round {number + 1}")
            idle_share = max([await one.idle_share() for one in self._contestants])
            try:
                run = await contestant.turn(self._load, self._prompts(str(number)), self._plan.run_seconds)
                runs.append(msgspec.structs.replace(run, idle_share=idle_share))
            except FAILURES as failure:
                await self._drop_out(contestant, failure)
            self._progress.step()

    async def close(self) -> None:
        for contestant in self._contestants:
            await contestant.close()

    # --- parts ---

    async def _calibrate(self) -> None:
        """By the first that can do it; ours last."""
        for one in sorted(self._contestants, key=lambda one: one.name == OURS):
            if not isinstance(one, Server) or one.process is None:
                continue
            try:
                async with asyncio.timeout(self._plan.run_seconds):
                    self._load = await self._load.calibrated(one.process, self._prompts("calibration"))
            except FAILURES as failure:
                await self._drop_out(one, failure)
            else:
                self.comparison.what = self._load.what
                return

    async def _drop_out(self, contestant: Contestant, failure: Exception) -> None:
        reason = str(failure) or f"took longer than {self._plan.run_seconds:.0f} s"
        self.comparison.notes.append(f"{contestant.name}: {reason}")
        self._contestants.remove(contestant)
        await contestant.close()

    def _prompts(self, seed: str) -> Prompts:
        return Prompts(f"{self._load.name} {seed}", self._plan.count)

    def _show(self, what: str) -> None:
        self._progress.show(f"{self._load.name}: {what}")
