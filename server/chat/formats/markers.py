"""Finding markers in text that comes in pieces, and holding back what may be the start of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


class Markers:
    """A set of markers. None of them may begin with another."""

    def __init__(self, texts: Iterable[str]) -> None:
        texts = list(texts)
        self._pattern = re.compile("|".join(map(re.escape, texts))) if texts else None
        self._starts = {text[:length] for text in texts for length in range(1, len(text))}
        self._longest_start = max(map(len, texts), default=1) - 1

    def find(self, text: str, at: int) -> tuple[int, str] | None:
        """The first marker from position `at` on, with its position."""
        found = self._pattern.search(text, at) if self._pattern else None
        return (found.start(), found.group()) if found else None

    def held(self, text: str, at: int) -> int:
        """How many characters at the text's end may be the start of a marker that is not yet complete."""
        for length in range(min(self._longest_start, len(text) - at), 0, -1):
            if text[-length:] in self._starts:
                return length
        return 0


@lru_cache(maxsize=256)
def markers(*texts: str) -> Markers:
    """Prepared once."""
    return Markers(texts)
