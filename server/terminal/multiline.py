'''Messages of several lines: between `"""` and `"""`, or with a backslash at the end of each line but the last.'''

from __future__ import annotations

QUOTES = '"""'


def unfinished(text: str) -> bool:
    """Whether another line belongs to it."""
    if text.lstrip().startswith(QUOTES):
        return not text.lstrip().removeprefix(QUOTES).rstrip().endswith(QUOTES)
    return text.endswith("\\")


def message(text: str) -> str:
    """What was meant by the lines."""
    if text.lstrip().startswith(QUOTES):
        return text.strip().removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")
    return text.replace("\\\n", "\n")
