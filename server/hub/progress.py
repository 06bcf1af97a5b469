"""How far a download has come, in lines, where there is no terminal for huggingface_hub's bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from server.sizes import shown

QUIET_SECONDS = 10.0
"""Between two lines, at least."""
STEP = 0.1


class ProgressLines:
    """What http_get uses of a tqdm, of which it makes one per file."""

    def __init__(self, say: Callable[[str], None], *, desc: str, total: int, initial: int, **_: Any) -> None:
        self._say, self._name, self._total, self._done = say, desc, total, initial
        self._said, self._said_at = initial, time.monotonic()

    def update(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if self._done - self._said >= STEP * self._total and now - self._said_at >= QUIET_SECONDS:
            speed = (self._done - self._said) / (now - self._said_at)
            self._said, self._said_at = self._done, now
            self._say(f"{self._name}: {shown(self._done)} of {shown(self._total)}, at {shown(speed)}/s")

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


def lines_or_bar(say: Callable[[str], None]) -> Any:
    """As http_get takes it; None: its own bar."""
    return None if sys.stderr.isatty() else partial(ProgressLines, say)
