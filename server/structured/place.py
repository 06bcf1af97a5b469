"""Where in a request something stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from server.errors import APIError, invalid

_PLAIN = re.compile(r"[\w$-]{1,64}")
_LONGEST = 64


class Place(NamedTuple):
    """A field, or a step into one. Written out only where an error names it: there are very many."""

    step: str | int
    parent: Place | None = None

    def __str__(self) -> str:
        *steps, field = self._steps()
        return f"{field}{''.join(map(_written, reversed(steps)))}"

    def _steps(self) -> Iterator[str | int]:
        place: Place | None = self
        while place is not None:
            yield place.step
            place = place.parent

    def to(self, *steps: str | int) -> Place:
        place = self
        for step in steps:
            place = Place(step, place)
        return place

    def error(self, message: str) -> APIError:
        """A 400 with the field's name in front of the message."""
        return invalid(f"'{self}' {message}", str(self))


def _written(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN.fullmatch(step):
        return f".{step}"
    return f"[{step[:_LONGEST]!r}]"
