"""What the name of a GGUF tells, be the file here or not: whether it is a model's, and which part of a split one."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_COMPANION = re.compile(
    r"""
    .*mmproj.*                                # projectors
    | (imatrix.* | .*[-._]imatrix)\.gguf      # importance matrices
    | (mtp-|eagle3-|dflash-|dspark-).*        # draft heads; models with such a head of their own have it further on
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class SplitName:
    """The name of a split model's part."""

    stem: str
    """What the parts have in common, a folder before it included."""
    number: int
    """From 1."""
    count: int


def split_name(name: str) -> SplitName | None:
    """None: it isn't a split model's part."""
    found = _SPLIT.fullmatch(name)
    return None if found is None else SplitName(found["stem"], int(found["number"]), int(found["count"]))


def part_name(stem: str, number: int, count: int) -> str:
    """As llama.cpp calls a part; it finds the others by that."""
    return f"{stem}-{number:05}-of-{count:05}.gguf"


def model_stem(name: str) -> str:
    """What a model is called by its file: the name without `.gguf`, of a split one without its part either."""
    part = split_name(name)
    return name.rpartition(".")[0] or name if part is None else part.stem


def is_model_name(name: str) -> bool:
    """Whether a file of this name, without its folder, is a model or a part of one, rather than what goes with one."""
    return name.lower().endswith(".gguf") and _COMPANION.fullmatch(name) is None
