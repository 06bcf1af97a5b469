"""Whose turn it is: a batch has one set of LoRA adapters, so sequences that have others take turns.

A turn is a step, or several where steps are short: changing adapters makes llama.cpp build its graphs anew, which takes
milliseconds (docs/lora.md). All have as many, so that all sequences go on at the same pace.
"""

from __future__ import annotations

import bisect

from backends.base import AdapterSet

from .sequence import Sequence

TURN = 0.05
"""Seconds that a turn is to take, if steps are shorter: a change of adapters is a small part of that."""
MAX_STEPS = 16
"""Steps that it has at most."""
MEMORY = 1 / 8
"""Weight of the last step in the mean of what steps take."""


class Group:
    """The running sequences that have the same adapters."""

    def __init__(self) -> None:
        self.running: list[Sequence] = []
        """By arrival."""
        self.prefilled = False
        """Whether their last step had nothing but prompts in it."""

    @property
    def has_work(self) -> bool:
        return any(seq.n_remaining for seq in self.running)


class Turns:
    """All running sequences, by their adapters."""

    def __init__(self, budget: float) -> None:
        """`budget`: seconds within which everybody should have had a turn."""
        self._budget = budget
        self._groups: dict[AdapterSet, Group] = {}
        """By adapters, in the order of their turns: it is the first one's."""
        self._n_steps = 0
        self._seconds = 0.0
        """How long the present turn has been."""
        self._mean = 0.0
        """Seconds that a step takes."""

    @property
    def share(self) -> float:
        """Seconds that a turn may take."""
        return self._budget / max(1, len(self._groups))

    def enter(self, seq: Sequence) -> None:
        group = self._groups.setdefault(seq.adapters, Group())
        bisect.insort(group.running, seq, key=lambda s: s.arrival)

    def leave(self, seq: Sequence) -> None:
        group = self._groups[seq.adapters]
        group.running.remove(seq)
        if not group.running:
            if group is self._now:
                self._n_steps, self._seconds = 0, 0.0
            del self._groups[seq.adapters]

    def kin(self, seq: Sequence) -> list[Sequence]:
        """The running ones that have the same adapters."""
        group = self._groups.get(seq.adapters)
        return [] if group is None else group.running

    def next(self) -> Group:
        """Whose turn it is: one that has something to compute, if any has."""
        if len(self._groups) > 1:
            n_steps = min(MAX_STEPS, max(1, int(TURN / self._mean))) if self._mean else 1
            if self._n_steps >= n_steps or self._seconds >= self.share:
                self._pass_on()
            for _ in range(len(self._groups)):
                if self._now.has_work:
                    break
                self._pass_on()
        return self._now

    def computed(self, seconds: float, *, prefilled: bool) -> None:
        """A step was computed of those whose turn it is, and took so long. `prefilled`: it had nothing but
        prompts in it."""
        self._now.prefilled = prefilled
        self._n_steps += 1
        self._seconds += seconds
        self._mean += MEMORY * (seconds - self._mean)

    @property
    def _now(self) -> Group:
        return next(iter(self._groups.values()), Group())

    def _pass_on(self) -> None:
        adapters = next(iter(self._groups))
        self._groups[adapters] = self._groups.pop(adapters)
        self._n_steps, self._seconds = 0, 0.0
