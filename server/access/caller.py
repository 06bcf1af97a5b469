"""Who sends a request: the rights of its key, at hand for routes, logs and metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.requests import HTTPConnection
from starlette.types import Scope

from server.access.quota import Quota, Reservation, Spending
from server.errors import APIError
from server.request_record import current

_STATE = "caller"


class Caller:
    """One per request, at `scope["state"]["caller"]`; `caller_of` finds it. Without a quota: anyone, where no key is
    asked for."""

    def __init__(self, quota: Quota | None = None) -> None:
        self._quota = quota
        self._reservation: Reservation | None = None
        self.name = None if quota is None else quota.key.name
        """The key's; None: no key was asked for."""
        self._key = None if quota is None else quota.key
        self.turned_away = False
        """The server has no room for the request now: it used nothing."""

    def may_use(self, models: Sequence[str]) -> list[str]:
        """Which of these."""
        if self._key is None or self._key.models is None:
            return list(models)
        return [model for model in models if model in self._key.models]

    def check_admin(self) -> None:
        """Raises a 403 if the key is none for metrics and the like."""
        if self._key is not None and not self._key.admin:
            message = f"The key '{self._key.name}' has no permission for this: it takes an admin key."
            raise APIError(message, status=403, code="insufficient_permissions")

    def reserve(self, parts: Sequence[Spending], *, bounded: bool) -> None:
        """Take from the key's tokens what the request will use: all if it has set itself a limit (`bounded`), else
        its prompt. Once per request. Raises a 429."""
        if self._quota is not None:
            tokens = sum(part.tokens_allowed if bounded else part.tokens_used for part in parts)
            self._reservation = self._quota.reserve(parts, tokens, time.monotonic())

    def end(self) -> None:
        """The request's answer has been sent, or can't be."""
        if self._quota is not None:
            self._quota.end(self._reservation, time.monotonic(), unused=self.turned_away)
            self._reservation = None  # the connection keeps the caller until its next request: let the prompt go


_ANYONE = Caller()


def introduce(scope: Scope, caller: Caller) -> None:
    """Make it the request's caller."""
    if (record := current()) is not None:
        record.key = caller.name
    scope.setdefault("state", {})[_STATE] = caller


def caller_of(scope: Scope | HTTPConnection) -> Caller:
    """Of a request, or of its ASGI scope."""
    scope = scope.scope if isinstance(scope, HTTPConnection) else scope
    caller = scope.get("state", {}).get(_STATE, _ANYONE)
    assert isinstance(caller, Caller)
    return caller
