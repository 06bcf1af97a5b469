"""Structured outputs on a real engine, at a temperature at which nothing but the grammar can make them match."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from .serving import DEMO, Server

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "maxLength": 20},
        "status": {"enum": ["new", "sent", "done"]},
        "total": {"type": "number", "minimum": 0, "maximum": 1000, "multipleOf": 0.25},
        "paid": {"type": "boolean"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["customer", "status", "total", "paid", "items"],
    "$defs": {
        "item": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "kind": {"const": "book"},
                        "pages": {"type": "integer", "minimum": 1, "maximum": 999},
                    },
                    "required": ["kind", "pages"],
                },
                {
                    "type": "object",
                    "properties": {"kind": {"const": "gift"}, "for": {"type": ["string", "null"], "maxLength": 10}},
                    "required": ["kind"],
                },
            ]
        }
    },
}
GBNF = 'root ::= line{2} "END"\nline ::= [a-z]{1,8} (" " [a-z]{1,8}){0,3} "\\n"'


def complete(server: Server, seed: int, **fields: Any) -> str:
    body = {"model": DEMO, "prompt": "The order:", "temperature": 1.5, "max_tokens": 800, "seed": seed, **fields}
    answer = server.post("/v1/completions", body)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    return str(choice["text"])


@pytest.mark.parametrize("seed", range(5))
def test_json_schemas(demo: Server, seed: int) -> None:
    text = complete(demo, seed, json_schema=ORDER)
    value = json.loads(text)
    jsonschema.validate(value, ORDER)
    assert not re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)), text


@pytest.mark.parametrize("seed", range(3))
def test_grammars(demo: Server, seed: int) -> None:
    assert re.fullmatch(r"([a-z]{1,8}( [a-z]{1,8}){0,3}\n){2}END", complete(demo, seed, grammar=GBNF))


@pytest.mark.parametrize("seed", range(3))
def test_vllms_fields(demo: Server, seed: int) -> None:
    assert complete(demo, seed, structured_outputs={"choice": ["yes", "no", "perhaps"]}) in ("yes", "no", "perhaps")
    assert re.fullmatch(r"\d{4}-\d{2}", complete(demo, seed, structured_outputs={"regex": r"\d{4}-\d{2}"}))


def test_native(demo: Server) -> None:
    body = {"prompt": "The order:", "temperature": 1.5, "n_predict": 800, "json_schema": ORDER}
    jsonschema.validate(json.loads(demo.post("/completion", body).json()["content"]), ORDER)


def test_a_limit_inside_of_a_structure(demo: Server) -> None:
    body = {"model": DEMO, "prompt": "The order:", "max_tokens": 3, "json_schema": ORDER}
    assert demo.post("/v1/completions", body).json()["choices"][0]["finish_reason"] == "length"


IMPOSSIBLE: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 3}},
    "required": ["n"],
}
NAMED = {"type": "json_schema", "json_schema": {"name": "n", "schema": IMPOSSIBLE, "strict": True}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": IMPOSSIBLE, "strict": True}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "asked", "param"),
    [
        ("/v1/completions", {"json_schema": IMPOSSIBLE}, "json_schema"),
        ("/v1/completions", {"response_format": NAMED}, "response_format.json_schema"),
        ("/completion", {"structured_outputs": {"json": IMPOSSIBLE}}, "structured_outputs.json"),
        ("/v1/chat/completions", {"response_format": NAMED}, "response_format.json_schema"),
        ("/v1/chat/completions", {"tools": [FUNCTION]}, "tools"),
        ("/v1/chat/completions", {"functions": [FUNCTION["function"]]}, "functions"),
    ],
)
def test_what_only_the_engine_can_tell_is_a_400(
    demo: Server, path: str, asked: dict[str, Any], param: str, stream: bool
) -> None:
    prompt: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"prompt": "x"}
    answer = demo.post(path, {"model": DEMO, "stream": stream, **prompt, **asked})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert "'n' is unsatisfiable" in error["message"]


def test_it_names_the_keywords_if_the_engine_does(demo: Server) -> None:
    body = {"model": DEMO, "prompt": "x", "json_schema": IMPOSSIBLE["properties"]["n"]}
    assert "minimum (5) is greater than maximum (3)" in demo.post("/v1/completions", body).json()["error"]["message"]


def test_a_grammar_that_comes_to_be_too_much_is_a_400(demo: Server) -> None:
    """Which shows once a letter is written: there are too many ways to read what may follow it."""
    grammar = "start: /[a-z]/ " + " ".join(f"r{i}?" for i in range(300))
    grammar += "".join(f'\nr{i}: ("x" | "y")*' for i in range(300))
    answer = demo.post("/v1/completions", {"model": DEMO, "prompt": "x", "structured_outputs": {"grammar": grammar}})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "structured_outputs.grammar")
    assert "can't be followed" in error["message"]


@pytest.mark.parametrize("seed", range(3))
def test_chats(demo: Server, seed: int) -> None:
    with demo.client() as client:
        answer = client.chat.completions.create(
            model=DEMO,
            messages=[{"role": "user", "content": "Write an order."}],
            response_format={"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER, "strict": True}},
            temperature=1.5,
            seed=seed,
        )
    choice = answer.choices[0]
    assert choice.finish_reason == "stop" and choice.message.refusal is None
    jsonschema.validate(json.loads(choice.message.content or ""), ORDER)
