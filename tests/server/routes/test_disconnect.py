"""A client that goes away cancels its request, streamed or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from server.app import create_app
from tests.server.scripted import scripted_state


class Client:
    """Sends one request to an ASGI application, and hangs up when told to."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self._body = json.dumps(body).encode()
        self._read = False
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
        }

    async def receive(self) -> dict[str, Any]:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what is waited for sets no event
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_gone(path: str, stream: bool) -> None:
    state, backend = scripted_state()
    backend.delay = 5
    prompt: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "prompt": "hi"}
    client = Client(path, {"model": "m", "stream": stream, **prompt})

    running = asyncio.ensure_future(create_app(state)(client.scope, client.receive, client.send))  # type: ignore[arg-type]
    await until(lambda: bool(backend.requests))
    client.gone.set()
    await asyncio.wait_for(running, 2)
    assert backend.cancelled == [backend.requests[0].id]


async def test_gone_in_the_middle_of_a_stream() -> None:
    state, backend = scripted_state(lambda index: "x" * 60)
    backend.pace = 0.05
    client = Client("/v1/completions", {"model": "m", "prompt": "hi", "stream": True, "n": 2, "max_tokens": 50})
    running = asyncio.ensure_future(create_app(state)(client.scope, client.receive, client.send))  # type: ignore[arg-type]
    await until(lambda: len(client.sent) >= 5)
    client.gone.set()
    await asyncio.wait_for(running, 0.5)
    assert backend.cancelled == [backend.requests[0].id]
