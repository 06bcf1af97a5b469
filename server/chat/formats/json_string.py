"""Pieces of text as pieces of a JSON string."""

from __future__ import annotations

import json
import re

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def escaped(text: str) -> str:
    """What stands for `text` between a JSON string's quotation marks."""
    inner = json.dumps(text, ensure_ascii=False)[1:-1]
    return _SURROGATE.sub(lambda half: f"\\u{ord(half.group()):04x}", inner)


def quoted(text: str) -> str:
    """`text` as a JSON string."""
    return f'"{escaped(text)}"'
