"""What a key may still use: buckets for requests and tokens per minute, and requests at a time.

A bucket holds a minute's worth and is refilled evenly, as OpenAI's are: a key that was quiet may use a whole minute's
worth at once, and then goes on at the pace of its limit. Each server counts for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

from server.access.keys import Key
from server.errors import APIError

MINUTE = 60.0
BUSY_SECONDS = 1.0
"""When to try again if too many requests run: nobody knows."""


class Spending(Protocol):
    """A part of a request that uses tokens. Its numbers grow as it runs."""

    @property
    def tokens_used(self) -> int: ...

    @property
    def tokens_allowed(self) -> int:
        """The most that it will have used at its end."""
        ...


class Bucket:
    """Times are seconds on any clock that only goes forward."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.size = per_minute
        self._level = float(per_minute)
        self._at = now

    def level(self, now: float) -> float:
        """Negative if more was used than was there."""
        self._level = min(self.size, self._level + (now - self._at) * self.size / MINUTE)
        self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = self.level(now) - amount

    def resize(self, per_minute: int, now: float) -> None:
        """What has been used stays used."""
        self._level = self.level(now) + per_minute - self.size
        self.size = per_minute


class Reservation:
    """Tokens taken for a request that runs, and what it really uses."""

    def __init__(self, parts: Sequence[Spending], tokens: int) -> None:
        self.tokens = tokens
        self._parts = parts

    @property
    def used(self) -> int:
        return sum(part.tokens_used for part in self._parts)


class Quota:
    """One key's. Outlives changes of its limits."""

    def __init__(self, key: Key, now: float) -> None:
        self.key = key
        self._requests = _bucket(None, key.requests_per_minute, now)
        self._tokens = _bucket(None, key.tokens_per_minute, now)
        self._running = 0
        self._open: set[Reservation] = set()

    @property
    def limited(self) -> bool:
        """Whether answers tell what is left."""
        return self._requests is not None or self._tokens is not None

    def renew(self, key: Key, now: float) -> None:
        """The key has other limits from now on."""
        self._requests = _bucket(self._requests, key.requests_per_minute, now)
        self._tokens = _bucket(self._tokens, key.tokens_per_minute, now)
        self.key = key

    def begin(self, now: float) -> None:
        """A request begins. Raises a 429."""
        limit = self.key.concurrency
        if limit is not None and self._running >= limit:
            message = f"Too many requests of the key '{self.key.name}' run at the same time: Limit {limit}. Try again."
            raise _limited("requests", message, BUSY_SECONDS)
        if self._requests is not None:
            self._check("requests", "RPM", self._requests, self._requests.level(now), 1)
            self._requests.take(1, now)
        self._running += 1

    def reserve(self, parts: Sequence[Spending], tokens: int, now: float) -> Reservation | None:
        """Take what the request will need, as far as that is known. Raises a 429."""
        if self._tokens is None:
            return None
        self._check("tokens", "TPM", self._tokens, self._token_level(now), tokens)
        self._tokens.take(tokens, now)
        reservation = Reservation(parts, tokens)
        self._open.add(reservation)
        return reservation

    def end(self, reservation: Reservation | None, now: float, *, unused: bool = False) -> None:
        """A request has ended: what it has really used counts, or nothing if nothing was computed."""
        self._running -= 1
        if reservation is not None:
            self._open.remove(reservation)
            if self._tokens is not None:
                used = 0 if unused else reservation.used
                self._tokens.take(used - reservation.tokens, now)

    def headers(self, now: float) -> dict[str, str]:
        """OpenAI's `x-ratelimit-*`."""
        headers: dict[str, str] = {}
        if self._requests is not None:
            headers |= _headers("requests", self._requests, self._requests.level(now))
        if self._tokens is not None:
            headers |= _headers("tokens", self._tokens, self._token_level(now))
        return headers

    def _token_level(self, now: float) -> float:
        """Running requests that had no limit of their own may have used more than was taken for them."""
        assert self._tokens is not None
        return self._tokens.level(now) - sum(max(0, running.used - running.tokens) for running in self._open)

    def _check(self, kind: Literal["requests", "tokens"], short: str, bucket: Bucket, level: float, want: int) -> None:
        if want <= level:
            return
        limit, used = bucket.size, max(0, math.ceil(bucket.size - level))
        on = f"for the key '{self.key.name}' on {kind} per min ({short}): Limit {limit}"
        if want > limit:
            message = f"Request too large {on}, Requested {want}. The input or output tokens must be reduced."
            raise APIError(
                message, status=429, kind=kind, code="rate_limit_exceeded", headers={"x-should-retry": "false"}
            )
        seconds = (want - level) * MINUTE / limit
        message = f"Rate limit reached {on}, Used {used}, Requested {want}. Please try again in {duration(seconds)}."
        raise _limited(kind, message, seconds)


def _bucket(old: Bucket | None, per_minute: int | None, now: float) -> Bucket | None:
    if per_minute is None:
        return None
    if old is None:
        return Bucket(per_minute, now)
    old.resize(per_minute, now)
    return old


def _limited(kind: Literal["requests", "tokens"], message: str, seconds: float) -> APIError:
    """`Retry-After` knows whole seconds only; OpenAI's clients look at `retry-after-ms` first."""
    headers = {
        "Retry-After": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
    }
    return APIError(message, status=429, kind=kind, code="rate_limit_exceeded", headers=headers)


def _headers(kind: str, bucket: Bucket, level: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": str(bucket.size),
        f"x-ratelimit-remaining-{kind}": str(max(0, math.floor(level))),
        f"x-ratelimit-reset-{kind}": duration((bucket.size - level) * MINUTE / bucket.size),
    }


def duration(seconds: float) -> str:
    """As Go writes it, and so OpenAI: 120ms, 8.64s, 6m0s."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text
