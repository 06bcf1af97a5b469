"""Text that others have written, made safe to show: a model must not move the cursor or talk to the terminal."""

from __future__ import annotations

import io
import sys

CONTROL = [*range(0x20), *range(0x7F, 0xA0)]
"""C0 with its escape character, DEL, and C1, whose characters begin sequences too."""
KEPT = "\n\t"
_TABLE = dict.fromkeys((code for code in CONTROL if chr(code) not in KEPT), None)


def visible(text: str) -> str:
    """Without control characters but for newlines and tabs. What is left of an escape sequence shows as text."""
    return text.translate(_TABLE)


def one_line(text: str, width: int = 60) -> str:
    """The beginning of a text, for a line of its own."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def take_any_text() -> None:
    """Don't fail on characters that standard input or output can't take in their encoding."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
