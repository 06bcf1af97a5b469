"""A model's users: the requests that run on it, and those that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Use:
    """A request's use of a model. It waits for the model, and keeps it from being unloaded."""

    def __init__(self) -> None:
        self.since = monotonic()
        self.refusal: Exception | None = None
        """Why it is not to wait any more."""
        self._admitted: asyncio.Future[None] | None = None
        """Of one that waits."""

    def wait(self) -> asyncio.Future[None]:
        """Done when it is admitted. Raises its refusal."""
        self._admitted = asyncio.get_running_loop().create_future()
        return self._admitted

    def admit(self) -> None:
        assert self._admitted is not None
        if not self._admitted.done():
            self._admitted.set_result(None)

    def refuse(self, error: Exception) -> None:
        self.refusal = error
        if self._admitted is not None and not self._admitted.done():
            self._admitted.set_exception(error)


class Users:
    """Those of one model."""

    def __init__(self) -> None:
        self.last = 0.0
        """When the model was last of use."""
        self._coming: set[Use] = set()
        """Those for whom it is found out whether, and how, the model is to be loaded."""
        self._waiting: dict[Use, None] = {}
        self._running: set[Use] = set()

    def __contains__(self, use: Use) -> bool:
        """Whether it runs."""
        return use in self._running

    @property
    def n_running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> bool:
        """Whether anyone does."""
        return bool(self._waiting)

    @property
    def waiting_since(self) -> float | None:
        """When the first of those came that wait; None: nobody does."""
        return min((use.since for use in self._waiting), default=None)

    @contextmanager
    def coming(self, use: Use) -> Iterator[None]:
        """While it is found out what to do about it."""
        self._coming.add(use)
        try:
            yield
        finally:
            self._coming.remove(use)

    def run(self, use: Use) -> None:
        self._running.add(use)
        self.last = monotonic()

    def wait(self, use: Use) -> asyncio.Future[None]:
        """Done when it runs. Raises its refusal."""
        self._waiting[use] = None
        return use.wait()

    def leave(self, use: Use) -> None:
        self._waiting.pop(use, None)
        if use in self._running:
            self._running.remove(use)
            self.last = monotonic()

    def admit_waiting(self) -> None:
        """At once, before anyone might find that nothing runs."""
        waiting, self._waiting = self._waiting, {}
        for use in waiting:
            self.run(use)
            use.admit()

    def refuse_waiting(self, error: Exception) -> None:
        """And those who are coming."""
        waiting, self._waiting = self._waiting, {}
        for use in (*self._coming, *waiting):
            use.refuse(error)
