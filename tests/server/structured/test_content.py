"""Which field says what the output is, and what it makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.errors import APIError
from server.schemas.chat import ChatCompletionRequest
from server.schemas.native import NativeCompletionRequest
from server.schemas.validation import validate
from server.structured.content import content_rule

from .matching import fits

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
GBNF = 'root ::= "a" [0-9]+'
LARK = 'start: word (" " word)*\nword: /[a-z]+/\n%ignore /x/'


def rule(**fields: Any) -> str | None:
    message = {"role": "user", "content": "hi"}
    body = validate(ChatCompletionRequest, {"model": "m", "messages": [message], **fields})
    return content_rule(body, body.response_format)


def named(schema: Any = SCHEMA, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        ({"response_format": {"type": "json_object"}}, ['{"x":[1]}'], ["[1]", "x"]),
        ({"response_format": {"type": "json_object", "schema": {"const": {"x": 1}}}}, ['{"x":1}'], ['{"x":2}']),
        ({"response_format": {"type": "json_object", "schema": {}}}, ['{"x":1}'], ["5", '"a"', "[]"]),
        ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, ['{"a":1}'], ["{}"]),
        ({"response_format": {"type": "json_schema", "schema": {}}}, ['{"x":1}'], ["5"]),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, ['{"a":1}'], ['{"a":"1"}']),
        ({"response_format": named({})}, ['{"x":1}'], ["5"]),
        ({"response_format": named(SCHEMA) | {"schema": {"type": "null"}}}, ['{"a":1}'], ["null"]),
        ({"structured_outputs": {"choice": ["a\x7f"]}}, ["a\x7f"], ["a"]),
        ({"response_format": named()}, ['{"a":1}'], ['{"a":"1"}', '{"a": 1}']),
        ({"response_format": named(strict=True)}, ['{"a":1}'], ["{}"]),
        ({"response_format": named(None) | {"json_schema": {"name": "x"}}}, ['{"x":1}'], ["1"]),
        ({"response_format": named({"type": "array", "uniqueItems": True})}, ["[1,1]"], ["1"]),
        ({"json_schema": SCHEMA}, ['{"a":1}'], ["{}"]),
        ({"json_schema": {"type": "integer"}}, ["5"], ['"5"']),
        ({"json_schema": {}}, ["5", "[]"], ["x"]),
        ({"json_schema": True}, ["5"], ["x"]),
        ({"grammar": GBNF}, ["a12"], ["a", "b1"]),
        ({"structured_outputs": {"json": SCHEMA}}, ['{"a":1}'], ["{}"]),
        ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, ['{"a":1}'], ["{}"]),
        ({"structured_outputs": {"json_object": True}}, ["{}"], ["[]"]),
        ({"structured_outputs": {"regex": "a+b"}}, ["aab"], ["b", "aabb"]),
        (
            {"structured_outputs": {"choice": ["yes", "no", "not/so [sure]\n", ""]}},
            ["no", "not/so [sure]\n", ""],
            ["n"],
        ),
        (
            {"structured_outputs": {"choice": ["a", "ab", "é🦙", "\x7f\x00&&~"]}},
            ["a", "ab", "é🦙", "\x7f\x00&&~"],
            ["b"],
        ),
        ({"structured_outputs": {"grammar": GBNF}}, ["a12"], ["a"]),
        ({"structured_outputs": {"grammar": LARK}}, ["ab cd", "abx"], [" ab"]),
        ({"structured_outputs": {"grammar": GBNF, "disable_any_whitespace": True}}, ["a12"], ["a"]),
        ({"guided_json": SCHEMA}, ['{"a":1}'], ["{}"]),
        ({"guided_regex": "[ab]"}, ["a"], ["c"]),
        ({"guided_choice": ["x", "y"]}, ["x"], ["z"]),
        ({"guided_grammar": GBNF}, ["a1"], ["b"]),
    ],
)
def test_outputs(fields: dict[str, Any], good: list[str], bad: list[str]) -> None:
    written = rule(**fields)
    assert written is not None
    for text in good:
        assert fits(written, text), text
    for text in bad:
        assert not fits(written, text), text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"response_format": {"type": "text"}},
        {"grammar": "", "json_schema": None, "structured_outputs": None, "guided_regex": None},
        {"structured_outputs": {"json_object": False}},
    ],
)
def test_free(fields: dict[str, Any]) -> None:
    assert rule(**fields) is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"json_schema": SCHEMA, "grammar": GBNF}, "grammar"),
        ({"response_format": {"type": "json_object"}, "json_schema": SCHEMA}, "json_schema"),
        ({"response_format": named(), "structured_outputs": {"regex": "a"}}, "structured_outputs.regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"whitespace_pattern": " "}}, "structured_outputs.whitespace_pattern"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex"),
        ({"structured_outputs": {"regex": 5}}, "structured_outputs.regex"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": ["x"] * 10_001}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": ["a", 5]}}, "structured_outputs.choice[1]"),
        ({"guided_choice": ["a", "b" * 65_537]}, "guided_choice[1]"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": "NaN"}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": "[" * 100_000}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": '{"a":' * 200 + "1" + "}" * 200}}, "structured_outputs.json"),
        (
            {"structured_outputs": {"json": {"properties": {"a": {"not": {}}}}}},
            "structured_outputs.json.properties.a.not",
        ),
        ({"json_schema": "string"}, "json_schema"),
        ({"json_schema": {"items": {"not": {}}}}, "json_schema.items.not"),
        ({"grammar": "root ::= b"}, "grammar"),
        ({"grammar": 5}, "grammar"),
        ({"response_format": named(name="a b")}, "response_format.json_schema.name"),
        ({"response_format": named(name="x" * 65)}, "response_format.json_schema.name"),
        ({"response_format": named({"not": {}}, strict=True)}, "response_format.json_schema.schema.not"),
        ({"response_format": {"type": "json_schema", "schema": {"not": {}}}}, "response_format.schema.not"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": named({"type": "x"})}, "response_format.json_schema.schema.type"),
        ({"response_format": named([])}, "response_format.json_schema.schema"),
    ],
)
def test_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(APIError) as caught:
        rule(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert caught.value.message


def test_native_requests_have_the_same_fields() -> None:
    body = validate(NativeCompletionRequest, {"prompt": "", "json_schema": {"type": "integer"}})
    assert fits(content_rule(body) or "", "5")
