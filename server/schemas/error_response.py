"""OpenAI's error object: what every endpoint answers when it fails."""

from __future__ import annotations

import msgspec


class Error(msgspec.Struct):
    message: str
    """What is wrong, and what to do about it."""
    type: str
    param: str | None
    """The field at fault."""
    code: str | None


class ErrorResponse(msgspec.Struct):
    error: Error
