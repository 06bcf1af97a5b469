"""OpenAI's own document against the request models: whatever it rejects is a 400, the edges it accepts are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.errors import APIError
from tests.openai_document import document, needs_document
from tests.server.schemas.bodies import chat, completion

pytestmark = needs_document

ENDPOINTS = [("CreateChatCompletionRequest", chat), ("CreateCompletionRequest", completion)]

COMPANIONS: dict[str, dict[str, Any]] = {"top_logprobs": {"logprobs": True}, "stream_options": {"stream": True}}
"""What a field needs beside it to be allowed at all."""


NULLABLE = {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"}
"""Where null counts as left out, as many clients send it."""


def _has_null(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_has_null, parts))


def _extension(name: str, value: Any) -> bool:
    """What Paddock takes on purpose: more stop strings, biases that are no integers, some nulls; and of llama-server's
    no limit, no stop strings, biases in a list, and schemas without a name."""
    if name in NULLABLE and _has_null(value):
        return True
    if name == "stop":
        return isinstance(value, list) and not 0 < len(value) <= 4 and len(value) <= 64
    if name == "response_format":
        named = value.get("json_schema") if isinstance(value, dict) else None
        return isinstance(named, dict) and "name" not in named
    if name == "logit_bias" and isinstance(value, dict):
        return all(isinstance(bias, float) for bias in value.values())
    return (name, value) in (("max_tokens", -1), ("logit_bias", []))


def _fields(component: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from document().properties(component).items()


@pytest.mark.parametrize(("component", "make"), ENDPOINTS)
def test_what_it_rejects_is_a_400(component: str, make: Callable[..., Any]) -> None:
    tried = 0
    accepted = []
    for name, schema in _fields(component):
        for value in document().wrong_values(schema):
            if _extension(name, value):
                continue
            tried += 1
            try:
                make(**COMPANIONS.get(name, {}) | {name: value})
            except APIError as error:
                if error.status == 400 and error.param and error.param.startswith(name):
                    continue
            accepted.append((name, value))
    assert not accepted
    assert tried > 200


@pytest.mark.parametrize(("component", "make"), ENDPOINTS)
def test_its_edges_are_accepted(component: str, make: Callable[..., Any]) -> None:
    for name, schema in _fields(component):
        for value in document().edges(schema):
            make(**COMPANIONS.get(name, {}) | {name: value})


@pytest.mark.parametrize(("component", "make"), ENDPOINTS)
def test_null_is_accepted_where_it_says_so(component: str, make: Callable[..., Any]) -> None:
    for name, schema in _fields(component):
        if not document().rejects(schema, None):
            make(**COMPANIONS.get(name, {}) | {name: None})
