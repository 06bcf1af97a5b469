"""What a real server answers is what its OpenAPI document says, and nothing besides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.openapi_document import Document

from .serving import DEMO, Server

HELLO = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CUSTOM = {"type": "custom", "custom": {"name": "note"}}
CALLED = {"messages": HELLO, "max_tokens": 60, "tool_choice": "required"}

POSTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": HELLO, "max_tokens": 8}),
    ("/chat/completions", {"messages": HELLO, "max_tokens": 8, "n": 2, "logprobs": True, "top_logprobs": 2}),
    ("/v1/chat/completions", {**CALLED, "tools": [TOOL]}),
    ("/v1/chat/completions", {**CALLED, "tools": [CUSTOM]}),
    (
        "/v1/chat/completions",
        {"messages": HELLO, "max_tokens": 60, "functions": [{"name": "f"}], "function_call": {"name": "f"}},
    ),
    ("/v1/chat/completions", {"messages": HELLO, "max_tokens": 60, "chat_template_kwargs": {"enable_thinking": True}}),
    ("/v1/chat/completions", {"messages": HELLO, "max_tokens": 8, "service_tier": "auto"}),
    ("/v1/completions", {"prompt": "Once upon", "max_tokens": 8}),
    ("/completions", {"prompt": ["Once", "Twice"], "max_tokens": 4, "logprobs": 2, "echo": True, "n": 2}),
    ("/completion", {"prompt": "Once upon", "n_predict": 8}),
    ("/completion", {"prompt": ["Once", [72, 73]], "n_predict": 4, "n_probs": 2, "return_tokens": True}),
    ("/completion", {"prompt": "Once", "n_predict": 4, "response_fields": ["content", "timings/predicted_n"]}),
    ("/tokenize", {"content": "Hello 🙂"}),
    ("/tokenize", {"content": "Hello 🙂", "with_pieces": True}),
    ("/detokenize", {"tokens": [72, 73]}),
    ("/apply-template", {"messages": HELLO}),
]
GETS = ["/v1/models", f"/v1/models/{DEMO}", "/models", "/props", "/slots", "/health", "/v1/health", "/livez"]


@pytest.fixture(scope="module")
def doc(demo: Server) -> Document:
    return Document(demo.get("/openapi.json").json())


def conforms(doc: Document, method: str, path: str, response: httpx.Response, template: str = "") -> None:
    media = response.headers["content-type"].partition(";")[0]
    schema = doc.answer(method, template or path, response.status_code, media)
    values = [response.json()] if media != "text/event-stream" else list(_events(response.text))
    if media == "text/event-stream":
        schema = schema["properties"]["data"]["anyOf"][1]["contentSchema"]
    assert values
    for value in values:
        faults = doc.faults(schema, value, closed=True)
        assert not faults, (faults, value)


def _events(text: str) -> Iterator[Any]:
    for event in text.split("\n\n"):
        if event.startswith("data: ") and event != "data: [DONE]":
            yield json.loads(event.removeprefix("data: "))


@pytest.mark.parametrize(("path", "body"), POSTS)
@pytest.mark.parametrize("stream", [False, True])
def test_answers(demo: Server, doc: Document, path: str, body: dict[str, Any], stream: bool) -> None:
    if stream and not path.endswith(("completions", "completion")):
        return
    told = {"timings_per_token": True, "return_progress": True, "stream": True} if stream else {}
    if stream and "completions" in path:
        told |= {"stream_options": {"include_usage": True, "include_obfuscation": True}}
    response = demo.post(path, {"model": DEMO, "seed": 7, **body, **told})
    assert response.status_code == 200, response.text
    conforms(doc, "POST", path, response)


@pytest.mark.parametrize("path", GETS)
def test_what_can_be_read(demo: Server, doc: Document, path: str) -> None:
    conforms(doc, "GET", path, demo.get(path), path.replace(DEMO, "{model}"))


def test_busy_slots(demo: Server, doc: Document) -> None:
    body = {"prompt": ["Once upon a time"] * 32, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", demo.root + "/completion", json=body, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        for _ in range(20):
            response = demo.get("/slots")
            conforms(doc, "GET", "/slots", response)
            if any(slot["is_processing"] for slot in response.json()):
                return
            time.sleep(0.05)  # it is told five times a second
    raise AssertionError("nothing was being computed")


ABOUT_OTHERS = {
    "/models/load",
    "/models/unload",
    "/lora-adapters",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
}
"""What takes away the model that all tests share, or is about adapters that it hasn't."""


def test_examples_work(demo: Server, doc: Document) -> None:
    tried = 0
    for (method, path), operation in doc.operations().items():
        if "requestBody" in operation and path not in ABOUT_OTHERS:
            tried += 1
            response = demo.post(path, operation["requestBody"]["content"]["application/json"]["example"])
            assert response.status_code == 200, (path, response.text)
            conforms(doc, method, path, response)
    assert tried > 5


@pytest.mark.parametrize(
    ("method", "path", "status", "request_parts"),
    [
        ("POST", "/v1/chat/completions", 400, {"json": {"model": DEMO, "messages": []}}),
        ("POST", "/v1/chat/completions", 404, {"json": {"model": "other", "messages": HELLO}}),
        ("POST", "/v1/completions", 415, {"headers": {"content-encoding": "gzip"}}),
        ("POST", "/completion", 413, {"content": b"[" + b"0," * 3_000_000}),
        ("POST", "/infill", 400, {"json": {"input_prefix": "a"}}),
        ("POST", "/tokenize", 400, {"content": b"{"}),
        ("POST", "/props", 501, {"json": {}}),
        ("GET", "/v1/models/{model}", 404, {}),
    ],
)
def test_errors(
    demo: Server, doc: Document, method: str, path: str, status: int, request_parts: dict[str, Any]
) -> None:
    response = httpx.request(method, demo.root + path.replace("{model}", "x"), timeout=60, **request_parts)
    assert response.status_code == status
    conforms(doc, method, path, response)
