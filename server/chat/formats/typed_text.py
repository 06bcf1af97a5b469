"""Arguments given as plain text, as JSON of the type that the tool's schema asks for: `2` → 2, `Oslo` → "Oslo".

Formats with an element or a line per argument write strings as they are and everything else as JSON, or as Python
prints it. Text that isn't what the schema asks for becomes a string: the tool shall see what the model wrote.
"""

from __future__ import annotations

import re

from server.chat.formats import json_text, python_literal
from server.chat.formats.json_string import quoted
from server.chat.formats.reader import transcribed

_INTEGER = re.compile(r"-?[0-9]+(\.0+)?")


def as_json(text: str, allowed: frozenset[str]) -> str:
    """The argument's JSON. `allowed`: the types that it may have; where none are known, text that is JSON is JSON."""
    if allowed == {"string"}:
        return quoted(text)
    value = transcribed(text, json_text.read_value) or transcribed(text, python_literal.read_value)
    if value is None or (allowed and not _fits(value, allowed)):
        return quoted(text)
    if value.startswith('"') and "string" in allowed:
        return quoted(text)  # quotation marks are part of a string that is written as it is
    return value


def _fits(value: str, allowed: frozenset[str]) -> bool:
    match value[0]:
        case '"':
            return "string" in allowed
        case "{":
            return "object" in allowed
        case "[":
            return "array" in allowed
        case "t" | "f":
            return "boolean" in allowed
        case "n":
            return "null" in allowed
    return "number" in allowed or ("integer" in allowed and _INTEGER.fullmatch(value) is not None)
