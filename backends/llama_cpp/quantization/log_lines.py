"""What llama.cpp's quantizer tells of its work: only in its log, a piece of a line at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

TENSOR = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[([\d, ]+)\], type = +(\S+), ")
TARGET = re.compile(r"-> +[\d.]+ MiB \((\w+)\)")
"""Of a dry run; only where the type changes."""
FALLBACK = re.compile(r"^warning: (\S+) +- ncols")


@dataclass
class LoggedTensor:
    """A tensor as the log shows it. Types in capitals, as everywhere but there."""

    name: str
    shape: tuple[int, ...]
    source: str
    target: str
    fallback: bool
    """Whether its rows don't fit the type that was meant for it."""


class LogReader:
    """Collects the tensors of a run, and tells of each when its turn comes."""

    def __init__(self, on_tensor: Callable[[LoggedTensor], None] = lambda _tensor: None) -> None:
        self.tensors: list[LoggedTensor] = []
        self._on_tensor = on_tensor
        self._fallbacks: set[str] = set()

    def take(self, piece: str) -> None:
        if found := FALLBACK.match(piece):
            self._fallbacks.add(found[1])
        elif found := TENSOR.match(piece):
            name, shape, kind = found.groups()
            sizes = tuple(int(size) for size in shape.split(","))
            tensor = LoggedTensor(name, sizes, kind.upper(), kind.upper(), name in self._fallbacks)
            self.tensors.append(tensor)
            self._on_tensor(tensor)
        elif (found := TARGET.search(piece)) and self.tensors:
            self.tensors[-1].target = found[1].upper()
