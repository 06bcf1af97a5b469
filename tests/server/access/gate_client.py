"""An application with one key, and a client that sends it several requests."""

from __future__ import annotations

from typing import Any

import httpx

from server.access.key_store import KeyStore
from server.access.keys import Key, hashed
from server.app import create_app
from server.state import AppState
from tests.server.scripted import ScriptedBackend, scripted_state

SECRET = "sk-do-not-repeat-me"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def bearer(secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def guarded(**rights: Any) -> tuple[AppState, ScriptedBackend]:
    """A server with one key."""
    state, backend = scripted_state()
    state.keys = KeyStore([Key(name="tests", sha256=hashed(SECRET), **rights)])
    return state, backend


class Client:
    """Several requests to one application."""

    def __init__(self, state: AppState) -> None:
        self._transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)

    async def __call__(self, method: str = "POST", path: str = CHAT, **request: Any) -> httpx.Response:
        if method == "POST":
            request.setdefault("json", BODY)
        request.setdefault("headers", bearer())
        async with httpx.AsyncClient(transport=self._transport, base_url="http://test") as client:
            return await client.request(method, path, **request)
