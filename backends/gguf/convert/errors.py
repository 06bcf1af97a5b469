"""What can't be converted, and files that say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class ConvertError(Exception):
    """The checkpoint can't be converted; the message is one line."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ConvertError."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConvertError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConvertError(f"{path} is not a JSON object")
    return found


def read_json_if_there(path: Path) -> dict[str, Any]:
    """The same, or an empty object where there is no such file."""
    return read_json(path) if path.is_file() else {}


def check_not_a_pointer(path: Path, start: bytes) -> None:
    """`start`: the file's first bytes. Raises ConvertError, if Git has left a note in the file's place."""
    if start.startswith(b"version "):
        raise ConvertError(f"{path} is a Git LFS pointer, not the file itself: get it by git lfs pull")


def some(names: list[str]) -> str:
    """Names for a message, not too many."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
