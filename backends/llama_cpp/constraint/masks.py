"""Masks of a batch's sequences, computed in threads while the batch is."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from .constraint import Constraint, MaskRows

if TYPE_CHECKING:
    from backends.llama_cpp.scheduler import Work

PATIENCE = 0.01
"""Seconds that a step waits for a mask. Almost all are there before the batch is; no grammar can hold up the others."""


class Masks:
    """Each sequence has one job at a time."""

    def __init__(self) -> None:
        n_threads = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="masks")
        self._jobs: dict[Constraint, Future[MaskRows]] = {}

    def begin(self, batch: list[Work]) -> None:
        """Start on the sequences that will be sampled after this batch."""
        for work in batch:
            constraint = work.seq.constraint
            if constraint is not None and work.n == work.seq.n_remaining and constraint not in self._jobs:
                self._jobs[constraint] = self._threads.submit(constraint.masks, work.drafts)

    def take(self, constraint: Constraint, patience: float = PATIENCE) -> MaskRows | None:
        """A job's result; None if it isn't there after so many seconds. Raises BrokenConstraint."""
        job = self._jobs[constraint]
        try:
            rows = job.result(patience)
        except TimeoutError:
            return None
        except BaseException:
            del self._jobs[constraint]
            raise
        del self._jobs[constraint]
        return rows

    def drop(self, constraint: Constraint) -> None:
        """Nobody will ask for it."""
        if (job := self._jobs.pop(constraint, None)) is not None:
            job.cancel()

    def wait(self, seconds: float) -> None:
        """Until some job is done, but no longer than this."""
        wait(self._jobs.values(), seconds, FIRST_COMPLETED)
