"""A bar on stderr: what runs, how much of all turns is done, and how long the rest will take."""

from __future__ import annotations

import shutil
import sys
from time import monotonic

WIDTH = 24


class Progress:
    """`n_turns` in all. Without a terminal, a line for each thing that begins."""

    def __init__(self, n_turns: int) -> None:
        self._n_turns = n_turns
        self._done = 0
        self._started = monotonic()
        self._what = ""
        self._tty = sys.stderr.isatty()

    def show(self, what: str) -> None:
        """What is going on now."""
        self._what = what
        self._draw()

    def step(self) -> None:
        """A turn is over."""
        self._done += 1
        if self._tty:
            self._draw()

    def close(self) -> None:
        if self._tty:
            self._write("\r\x1b[K")

    def _draw(self) -> None:
        line = f"{self._done}/{self._n_turns} {self._left()} {self._what}"
        if not self._tty:
            self._write(line + "\n")
            return
        filled = WIDTH * self._done // max(self._n_turns, 1)
        line = f"[{'#' * filled:{WIDTH}}] {line}"
        self._write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])

    def _left(self) -> str:
        if not self._done:
            return "--:-- left"
        seconds = (monotonic() - self._started) / self._done * (self._n_turns - self._done)
        return f"{int(seconds) // 60}:{int(seconds) % 60:02} left"

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
