"""`x-request-id`: a client's or a proxy's own if it is fit for headers, logs and traces as it is; else a new one."""

from __future__ import annotations

import re
import secrets

from starlette.types import Scope

HEADER = b"x-request-id"
_FIT = re.compile(rb"[A-Za-z0-9._~:/+=@,;|#-]{1,128}")
"""Visible ASCII without quotes, brackets and backslashes. Long enough for every common kind of id."""


def request_id(scope: Scope) -> str:
    """The id of a request, from its headers or new."""
    for name, value in scope["headers"]:
        if name == HEADER:
            if _FIT.fullmatch(value):
                return bytes(value).decode("ascii")
            break
    return f"req_{secrets.token_hex(16)}"
