"""What the runs gave, as it is written to disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from .bootstrap import Estimate, difference, ratio
from .loads.base import Figures, Measure

OURS = "paddock"


class Run(msgspec.Struct, frozen=True):
    """One contestant's turn in a round."""

    contestant: str
    figures: Figures
    seconds: float
    client_share: float = 0.0
    """Of one core, used by the client meanwhile."""
    idle_share: float = 0.0
    """Of one core, used by the servers that were not asked, just before."""


class Comparison(msgspec.Struct):
    """A load's rounds. A contestant that has failed is missing from then on, and in `notes`."""

    load: str
    what: str
    measures: list[Measure]
    settings: dict[str, str]
    date: str
    rounds: list[list[Run]] = []
    """In the order in which they ran."""
    notes: list[str] = []

    @property
    def client_share(self) -> float:
        """The most of a core that the client used in any run."""
        return max((run.client_share for runs in self.rounds for run in runs), default=0.0)

    @property
    def idle_share(self) -> float:
        """The most of a core that any server used before a turn that wasn't its own."""
        return max((run.idle_share for runs in self.rounds for run in runs), default=0.0)

    @property
    def contestants(self) -> list[str]:
        """Ours first, the others in the order of their first turn."""
        seen = dict.fromkeys(run.contestant for runs in self.rounds for run in runs)
        return sorted(seen, key=lambda name: name != OURS)

    def values(self, contestant: str, measure: str) -> list[float]:
        found = (_figure(runs, contestant, measure) for runs in self.rounds)
        return [value for value in found if value is not None]

    def pairs(self, contestant: str, measure: str) -> tuple[list[float], list[float]]:
        """Ours and theirs of the rounds that have both."""
        both = [(_figure(runs, OURS, measure), _figure(runs, contestant, measure)) for runs in self.rounds]
        whole = [(ours, theirs) for ours, theirs in both if ours is not None and theirs is not None]
        return [ours for ours, _ in whole], [theirs for _, theirs in whole]

    def against(self, contestant: str, measure: str, *, as_difference: bool = False) -> Estimate | None:
        """Ours over (or minus) theirs; None if no round has both, or theirs is nothing that can be divided by."""
        ours, theirs = self.pairs(contestant, measure)
        if not ours or (min(theirs) <= 0 and not as_difference):
            return None
        return difference(ours, theirs) if as_difference else ratio(ours, theirs)


class Results(msgspec.Struct):
    """A model's comparisons, those of earlier invocations included."""

    model: str
    machine: dict[str, str] = {}
    comparisons: dict[str, Comparison] = {}

    def save(self, path: Path) -> None:
        """Whole or not at all: an hour's results aren't lost by the next one's interruption."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Results:
        return msgspec.json.decode(path.read_bytes(), type=cls)


def _figure(runs: Sequence[Run], contestant: str, measure: str) -> float | None:
    return next((run.figures.get(measure) for run in runs if run.contestant == contestant), None)
