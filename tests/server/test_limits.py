"""Limits of a request: each is a setting, and each refusal names it."""

from __future__ import annotations

from typing import Any

import pytest

from server.limits import Limits
from server.state import AppState
from tests.server.routes.client import call, error
from tests.server.scripted import scripted_state
from tests.server.settings import load_settings

FLAGS = (
    "--max-body-size 2000 --max-json-depth 8 --max-messages 2 --max-stop-strings 2 --max-stop-length 3 --max-n 2 "
    "--max-logit-bias 1 --max-schema-size 60 --grammar-timeout 0.5"
)
SMALL = {"type": "object", "properties": {"a": {"type": "null"}}}
LARGE = {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}}
MESSAGE = {"role": "user", "content": "hi"}


def limited() -> AppState:
    state, _ = scripted_state()
    state.limits = load_settings(FLAGS.split(), {}).limits()
    return state


def schema(value: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": value}}


def function(value: Any) -> dict[str, Any]:
    return {"name": "f", "parameters": value}


CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    # path, what is just allowed, what is not, param, setting
    ("chat", {"messages": [MESSAGE] * 2}, {"messages": [MESSAGE] * 3}, "messages", "--max-messages"),
    ("chat", {"stop": ["a", "b"]}, {"stop": ["a", "b", "c"]}, "stop", "--max-stop-strings"),
    ("chat", {"stop": "abc"}, {"stop": "abcd"}, "stop", "--max-stop-length"),
    ("chat", {"n": 2}, {"n": 3}, "n", "--max-n"),
    ("chat", {"logit_bias": {"1": 1}}, {"logit_bias": {"1": 1, "2": 1}}, "logit_bias", "--max-logit-bias"),
    (
        "chat",
        {"response_format": schema(SMALL)},
        {"response_format": schema(LARGE)},
        "response_format.json_schema.schema",
        "--max-schema-size",
    ),
    (
        "chat",
        {"response_format": {"type": "json_object", "schema": SMALL}},
        {"response_format": {"type": "json_object", "schema": LARGE}},
        "response_format.schema",
        "--max-schema-size",
    ),
    (
        "text",
        {"response_format": {"type": "json_schema", "schema": SMALL}},
        {"response_format": {"type": "json_schema", "schema": LARGE}},
        "response_format.schema",
        "--max-schema-size",
    ),
    (
        "chat",
        {"tools": [{"type": "function", "function": function(SMALL)}]},
        {"tools": [{"type": "function", "function": function(LARGE)}]},
        "tools[0].function.parameters",
        "--max-schema-size",
    ),
    (
        "chat",
        {"functions": [function(SMALL)]},
        {"functions": [function(LARGE)]},
        "functions[0].parameters",
        "--max-sch",
    ),
    ("text", {"stop": ["a", "b"]}, {"stop": ["a", "b", "c"]}, "stop", "--max-stop-strings"),
    ("text", {"n": 2}, {"n": 3}, "n", "--max-n"),
    ("text", {"best_of": 2}, {"best_of": 3}, "best_of", "--max-n"),
    ("text", {"json_schema": SMALL}, {"json_schema": LARGE}, "json_schema", "--max-schema-size"),
    ("text", {"guided_json": SMALL}, {"guided_json": LARGE}, "guided_json", "--max-schema-size"),
    (
        "text",
        {"structured_outputs": {"json": SMALL}},
        {"structured_outputs": {"json": LARGE}},
        "structured_outputs.json",
        "--max-schema-size",
    ),
    ("native", {"stop": ["a", "b"]}, {"stop": ["a", "b", "c"]}, "stop", "--max-stop-strings"),
    ("native", {"n_cmpl": 2}, {"n_cmpl": 3}, "n_cmpl", "--max-n"),
    ("native", {"logit_bias": [[1, 1]]}, {"logit_bias": [[1, 1], [2, 1]]}, "logit_bias", "--max-logit-bias"),
    ("native", {"json_schema": SMALL}, {"json_schema": LARGE}, "json_schema", "--max-schema-size"),
]
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": [MESSAGE], "max_tokens": 2}),
    "text": ("/v1/completions", {"model": "m", "prompt": "hi"}),
    "native": ("/completion", {"prompt": "hi", "n_predict": 2}),
}


@pytest.mark.parametrize(("endpoint", "allowed", "refused", "param", "setting"), CASES)
async def test_fields(
    endpoint: str, allowed: dict[str, Any], refused: dict[str, Any], param: str, setting: str
) -> None:
    state = limited()
    path, body = ENDPOINTS[endpoint]
    response = await call(state, "POST", path, json=body | allowed)
    assert response.status_code == 200 or "tools" in param or "functions" in param  # they fill the little context
    assert "--max" not in response.text
    response = await call(state, "POST", path, json=body | refused)
    answer = error(response)
    assert (response.status_code, answer["param"]) == (400, param)
    assert setting in answer["message"]


async def test_bodies() -> None:
    path, body = ENDPOINTS["text"]
    large = await call(limited(), "POST", path, json=body | {"user": "x" * 2000})
    assert (large.status_code, "2000 bytes (--max-body-size)" in error(large)["message"]) == (413, True)
    deep: Any = 1
    for _ in range(8):
        deep = [deep]
    response = await call(limited(), "POST", path, json=body | {"metadata": deep})
    assert (response.status_code, error(response)["code"]) == (400, "invalid_json")
    assert "more than 8 levels deep (--max-json-depth)" in error(response)["message"]


def test_defaults_are_the_server_s_own_bounds() -> None:
    settings = load_settings([], {})
    assert settings.limits() == Limits()
    assert settings.engine_options("m").grammar_seconds == 4.0
    assert load_settings(FLAGS.split(), {}).engine_options("m").grammar_seconds == 0.5
