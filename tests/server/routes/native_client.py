"""Requests to llama-server's own endpoints, and what their answers have."""

from __future__ import annotations

import json
from typing import Any

import httpx

from server.state import AppState
from tests.server.routes.client import call

FINAL = set(
    """index content tokens id_slot stop model tokens_predicted tokens_evaluated generation_settings prompt has_new_line
    truncated stop_type stopping_word tokens_cached timings""".split()
)
PIECE = {"index", "content", "tokens", "stop", "id_slot", "tokens_predicted", "tokens_evaluated"}


async def send(state: AppState, path: str = "/completion", **body: Any) -> httpx.Response:
    if path == "/completion":
        body.setdefault("prompt", "hi")
    return await call(state, "POST", path, json=body)


async def answer(state: AppState, **body: Any) -> Any:
    response = await send(state, **body)
    assert response.status_code == 200, response.text
    return response.json()


async def events(state: AppState, **body: Any) -> list[dict[str, Any]]:
    response = await send(state, **body, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = response.text.removesuffix("\n\n").split("\n\n")
    assert all(part.startswith("data: ") for part in parts)
    assert "[DONE]" not in response.text
    return [json.loads(part[6:]) for part in parts]
