"""How long to wait before something that has ended is started again."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST = 0.25
"""Seconds before the second start in a row; the first is at once. From there on each wait is twice the last."""
LONGEST = 30.0
WELL = 60.0
"""Seconds that it must have run for its next end to count as a first one."""


class Backoff:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._starts = 0
        self._up_since: float | None = None

    def up(self) -> None:
        """It runs."""
        self._up_since = self._now()

    def explained(self) -> None:
        """Why it ended is known, and won't come again: the next start is a first one."""
        self._starts = 0

    def delay(self) -> float:
        """Seconds to wait before the next start."""
        if self._up_since is not None and self._now() - self._up_since >= WELL:
            self._starts = 0
        self._up_since = None
        self._starts += 1
        return 0.0 if self._starts == 1 else min(LONGEST, FIRST * 2.0 ** min(self._starts - 2, 32))
