"""Masks of a batch's sequences, computed in threads while the batch is."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .constraint import BrokenConstraint, Constraint, MaskRows
from .deep_threads import deep_threads

if TYPE_CHECKING:
    from backends.llama_cpp.scheduler import Work

PATIENCE = 0.01
"""Seconds that a step waits for masks. Almost all are there before the batch is; one that isn't holds up no other
sequence than its own."""


@dataclass(frozen=True)
class _Job:
    drafts: tuple[int, ...]
    rows: Future[MaskRows]


class Masks:
    """Each sequence has one job at a time."""

    def __init__(self) -> None:
        n_threads = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self._threads = deep_threads(n_threads, "masks")
        self._jobs: dict[Constraint, _Job] = {}

    def begin(self, batch: list[Work]) -> None:
        """Start on the sequences that will be sampled after this batch."""
        for work in batch:
            constraint = work.seq.constraint
            if constraint is None or work.n < work.seq.n_remaining:
                continue
            earlier = self._jobs.get(constraint)  # of a batch that was not computed
            if earlier is None or earlier.drafts != work.drafts:
                rows = self._threads.submit(_compute, constraint, work.drafts, earlier)
                self._jobs[constraint] = _Job(work.drafts, rows)

    def take(self, constraint: Constraint, patience: float) -> MaskRows | None:
        """A job's result; None if it isn't there after so many seconds. Raises BrokenConstraint."""
        try:
            rows = self._jobs[constraint].rows.result(max(0.0, patience))
        except TimeoutError:
            return None
        except BrokenConstraint:
            del self._jobs[constraint]
            raise
        except BaseException as error:  # a panic of llguidance's is no Exception
            del self._jobs[constraint]
            raise BrokenConstraint(f"the output's grammar can't be followed: {error}") from error
        del self._jobs[constraint]
        return rows

    def drop(self, constraint: Constraint) -> None:
        """Nobody will ask for it."""
        if (job := self._jobs.pop(constraint, None)) is not None:
            job.rows.cancel()

    def wait(self, seconds: float) -> None:
        """Until some job is done, but no longer than this."""
        wait([job.rows for job in self._jobs.values()], seconds, FIRST_COMPLETED)


def _compute(constraint: Constraint, drafts: tuple[int, ...], earlier: _Job | None) -> MaskRows:
    if earlier is not None:  # one thread at a time
        wait([earlier.rows])
    return constraint.masks(drafts)
