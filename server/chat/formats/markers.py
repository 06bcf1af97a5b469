"""Finding markers in text that comes in pieces, and holding back what may be the start of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


class Markers:
    """A set of markers. None of them may begin with another."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts = tuple(texts)
        self._pattern = re.compile("|".join(map(re.escape, texts))) if texts else None
        self._first = re.compile(f"[{re.escape(''.join({text[0] for text in texts}))}]") if texts else None
        self._starts = {text[:length] for text in texts for length in range(1, len(text))}
        self._longest_start = max(map(len, texts), default=1) - 1

    def find(self, text: str, at: int) -> tuple[int, str] | None:
        """The first marker from position `at` on, with its position."""
        found = self._pattern.search(text, at) if self._pattern else None
        return (found.start(), found.group()) if found else None

    def held(self, text: str, at: int) -> int:
        """How many characters at the text's end may be the start of a marker that is not yet complete."""
        end = len(text)
        found = self._first.search(text, max(at, end - self._longest_start)) if self._first else None
        if found is None:
            return 0
        return next((end - start for start in range(found.start(), end) if text[start:] in self._starts), 0)


@lru_cache(maxsize=256)
def markers(*texts: str) -> Markers:
    """Prepared once."""
    return Markers(texts)
