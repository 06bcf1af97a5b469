"""What is known of an HTTP request while it is answered: for its line in the log, its spans, and whatever is logged.

It is at hand wherever code runs for the request, without being passed along: `current()`.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # log lines need this module before the rest is imported
    from server.generation import Generation

REQUEST: ContextVar[RequestRecord | None] = ContextVar("request", default=None)


class RequestRecord:
    """Filled by those who know. Times are seconds of the monotonic clock."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.arrived = time.monotonic()
        self.key: str | None = None
        """The API key's name."""
        self.model: str | None = None
        """The one of the model's ids that was asked for."""
        self.served: str | None = None
        """The first of that model's ids."""
        self.generations: list[Generation] = []
        """What has been sent to the engine for it."""
        self.status = 500
        """Of the answer; before it starts, of what becomes of a request that is never answered."""
        self.error: str | None = None
        """What went wrong: the error's `code`, or its type. Never its message, which may quote a prompt."""
        self.complete = False
        """The whole answer has been handed to the HTTP server."""
        self.client_gone = False
        """Before the answer was complete."""
        self.trace_id: str | None = None
        self.span: Any = None
        """OpenTelemetry's, if it is traced."""

    @property
    def response_id(self) -> str | None:
        """The answer's `id`. What is sent to the engine goes by it too, with a number for each further prompt."""
        return self.generations[0].request.id.removesuffix("-0") if self.generations else None

    @property
    def prompt_tokens(self) -> int:
        return sum(generation.usage.prompt_tokens for generation in self.generations)

    @property
    def cached_tokens(self) -> int:
        return sum(generation.usage.cached_tokens for generation in self.generations)

    @property
    def completion_tokens(self) -> int:
        return sum(generation.usage.completion_tokens for generation in self.generations)

    @property
    def queue_seconds(self) -> float | None:
        """How long it waited for a place in a batch: the longest of its prompts. None: none has had one."""
        waits = [g.timings.queued for g in self.generations if g.timings.prompt_ended is not None]
        return max(waits, default=None)

    @property
    def first_token_seconds(self) -> float | None:
        """From its arrival to its first token."""
        ends = [g.timings.prompt_ended for g in self.generations if g.timings.prompt_ended is not None]
        return min(ends) - self.arrived if ends else None

    @property
    def finish_reasons(self) -> list[str]:
        """Of the choices that have ended, in order."""
        return [reason for g in self.generations for _, reason in sorted(g.finish_reasons.items())]


def current() -> RequestRecord | None:
    """Of the request that this code runs for."""
    return REQUEST.get()
