"""Responses and chunks against OpenAI's own document."""

from __future__ import annotations

from typing import Any

import pytest

from tests.openai_document import document, needs_document
from tests.server.routes.client import call, chat, chunks, completion
from tests.server.scripted import scripted_state

pytestmark = needs_document

CHAT: list[dict[str, Any]] = [
    {},
    {"n": 3},
    {"logprobs": True, "top_logprobs": 3},
    {"service_tier": "fast"},
    {"max_tokens": 1},
]
COMPLETION: list[dict[str, Any]] = [
    {},
    {"prompt": ["a", "b"], "n": 2},
    {"logprobs": 3},
    {"echo": True, "logprobs": 1, "max_tokens": 0, "prompt": [1, 2]},
]


@pytest.mark.parametrize("fields", CHAT)
async def test_chat(fields: dict[str, Any]) -> None:
    state, _ = scripted_state()
    document().check("CreateChatCompletionResponse", (await chat(state, **fields)).json())
    options = {"include_usage": True, "include_obfuscation": True}
    for chunk in chunks(await chat(state, **fields, stream=True, stream_options=options)):
        document().check("CreateChatCompletionStreamResponse", chunk)


@pytest.mark.parametrize("fields", COMPLETION)
async def test_completions(fields: dict[str, Any]) -> None:
    state, _ = scripted_state()
    document().check("CreateCompletionResponse", (await completion(state, **fields)).json())
    response = await completion(state, **fields, stream=True, stream_options={"include_usage": True})
    for chunk in chunks(response):
        # the document has one schema for both; OpenAI's own chunks hold these nulls, as its prose says of `usage`
        for choice in chunk["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        if chunk["usage"] is None:
            del chunk["usage"]
        document().check("CreateCompletionResponse", chunk)


async def test_models_and_errors() -> None:
    state, _ = scripted_state()
    document().check("ListModelsResponse", (await call(state, "GET", "/v1/models")).json())
    document().check("Model", (await call(state, "GET", "/v1/models/m")).json())
    document().check("ErrorResponse", (await call(state, "GET", "/v1/models/x")).json())
    document().check("ErrorResponse", (await chat(state, n=0)).json())
