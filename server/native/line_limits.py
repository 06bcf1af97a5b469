"""llama-server's limits for editors, which end a completion at a line: `t_max_predict_ms` and `n_indent`."""

from __future__ import annotations

import time

_now = time.monotonic
_INDENT = " \t"


class LineLimits:
    """Watches one choice's text as it grows."""

    def __init__(self, n_indent: int, max_seconds: float) -> None:
        """`n_indent`: end at the first line, after the first, that is indented by fewer characters than this.

        `max_seconds`: end at the first line break that comes later than this after the first text. 0: no such limit.
        """
        self._n_indent = n_indent
        self._max_seconds = max_seconds
        self._first_text: float | None = None
        self._indent: int | None = None
        """Characters of the present line's indentation so far; None in its text, and in the first line."""
        self.has_new_line = False

    @property
    def active(self) -> bool:
        """Whether there is a limit at all."""
        return self._n_indent > 0 or self._max_seconds > 0

    def take(self, text: str) -> tuple[str, bool]:
        """More text. What to keep of it, and whether a limit ends the choice there."""
        if text and self._first_text is None:
            self._first_text = _now()
        if self._n_indent and (cut := self._cut(text)) is not None:
            text, ended = text[:cut], True
        else:
            ended = "\n" in text and self._late()
        self.has_new_line = self.has_new_line or "\n" in text
        return text, ended

    def _late(self) -> bool:
        return 0 < self._max_seconds < _now() - (self._first_text or 0.0)

    def _cut(self, text: str) -> int | None:
        """Where a line begins that is indented too little."""
        for position, character in enumerate(text):
            if self._indent is not None:
                if character in _INDENT:
                    self._indent += 1
                    continue
                if self._indent < self._n_indent:
                    return position
                self._indent = None
            if character == "\n":
                self._indent = 0
        return None
