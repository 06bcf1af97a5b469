"""Requests to the application in this process, without a socket."""

from __future__ import annotations

import json
from typing import Any

import httpx

from server.app import create_app
from server.state import AppState


async def call(state: AppState, method: str, path: str, **request: Any) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **request)


async def post(state: AppState, path: str, **fields: Any) -> httpx.Response:
    fields.setdefault("model", "m")
    return await call(state, "POST", path, json=fields)


async def chat(state: AppState, **fields: Any) -> httpx.Response:
    fields.setdefault("messages", [{"role": "user", "content": "hi"}])
    return await post(state, "/v1/chat/completions", **fields)


async def completion(state: AppState, **fields: Any) -> httpx.Response:
    fields.setdefault("prompt", "hi")
    return await post(state, "/v1/completions", **fields)


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON of a stream's events, which must be `data:` events that end with `[DONE]`."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    events = response.text.removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    data = [event for event in events if event != ": ping"]
    assert all(event.startswith("data: ") and "\n" not in event for event in data)
    return [json.loads(event[6:]) for event in data]


def error(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, which must be OpenAI's object and nothing else."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["content-type"] == "application/json"
    return dict(body["error"])
