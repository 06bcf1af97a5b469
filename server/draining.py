"""How the server ends: who is still answered meanwhile, and what becomes of whoever is left.

`Drain` is where the server is on that way; `Draining` is the ASGI middleware that heeds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import APIError, unavailable
from server.sse import MEDIA_TYPE, error_event

WATCHER_PATHS = frozenset({"/livez", "/health", "/v1/health", "/metrics"})
"""Whoever watches the server wants to see how it ends."""
LAST_WORDS_SECONDS = 1.0
"""What clients get to take the error in that ends their request."""
CLOSE = (b"connection", b"close")


class Drain:
    """One per application."""

    def __init__(self) -> None:
        self.begun = False
        """The server will end: it is no longer ready, and its answers close their connections."""
        self.refusing = False
        """New requests are refused."""
        self.cutting = False
        """Those that run are being cut."""
        self._running: set[asyncio.Task[object]] = set()
        self._left = asyncio.Event()

    @property
    def n_running(self) -> int:
        """Requests that have come, and whose answer isn't complete."""
        return len(self._running)

    def begin(self) -> None:
        self.begun = True

    def refuse(self) -> None:
        self.begun = self.refusing = True

    async def emptied(self) -> None:
        """Return when nothing runs."""
        while self._running:
            self._left.clear()
            await self._left.wait()

    async def cut(self) -> None:
        """Cancel what runs: each client is told so."""
        self.refuse()
        self.cutting = True
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=LAST_WORDS_SECONDS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around a request, in the task that answers it."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)
            self._left.set()


class Draining:
    """Refuses, and cuts, when `drain` says so."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(self._drain, send)
        if self._drain.refusing and scope["path"] not in WATCHER_PATHS:
            await unavailable("The server is shutting down.").response()(scope, receive, answer.send)
            return
        with self._drain.running():
            try:
                await self._app(scope, receive, answer.send)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._drain.cutting or task is None:
                    raise
                task.uncancel()
                error = unavailable("The server is shutting down, and this request did not end in the time left.")
                await answer.break_off(error, scope, receive)


class _Answer:
    """How far an answer has come."""

    def __init__(self, drain: Drain, send: Send) -> None:
        self._drain = drain
        self._send = send
        self._started = self._ended = self._streams = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", [])
            self._started = True
            self._streams = any(
                name.lower() == b"content-type" and value.startswith(MEDIA_TYPE) for name, value in headers
            )
            if self._drain.begun:
                kept = [header for header in headers if header[0].lower() != b"connection"]
                message = {**message, "headers": [*kept, CLOSE]}
        elif not message.get("more_body", False):
            self._ended = True
        await self._send(message)

    async def break_off(self, error: APIError, scope: Scope, receive: Receive) -> None:
        """End it with an error, where an error can be told; else as it is, incomplete."""
        if not self._started:
            await error.response()(scope, receive, self.send)
        elif self._streams and not self._ended:
            await self.send({"type": "http.response.body", "body": error_event(error), "more_body": False})
