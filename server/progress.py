"""How far loading has come: a bar on a terminal, a few log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

QUIET_SECONDS = 2.0
"""What loads faster needs no log lines."""
STEP = 0.25

log = logging.getLogger("paddock")


class LoadingBar:
    """Call it with the fraction done, then `close` it."""

    def __init__(self, what: str, stream: TextIO = sys.stderr) -> None:
        self._what = what
        self._stream = stream
        self._started = time.monotonic()
        self._logged = 0.0
        self._tty = stream.isatty()
        self._drawn = False

    def __call__(self, fraction: float) -> None:
        if self._tty:
            self._drawn = True
            bar = "█" * round(30 * fraction)
            self._stream.write(f"\rloading {self._what} {bar:30} {fraction:4.0%}")
            self._stream.flush()
        elif fraction - self._logged >= STEP and time.monotonic() - self._started >= QUIET_SECONDS:
            self._logged = fraction
            log.info("loading %s: %.0f %%", self._what, 100 * fraction)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._drawn:
            self._stream.write("\r\033[K")
            self._stream.flush()
