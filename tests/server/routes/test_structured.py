"""What completions hand the engine for an output's structure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.routes.client import call, completion, error
from tests.server.scripted import scripted_state

STRUCTURES: list[tuple[dict[str, Any], str]] = [
    ({"json_schema": {"type": "integer"}}, '%json {"type": "integer"'),
    ({"grammar": 'root ::= "a"'}, "%lark {"),
    ({"structured_outputs": {"choice": ["a", "b"]}}, "/(?:a|b)/"),
    ({"guided_regex": "[0-9]+"}, "/[0-9]+/"),
]


@pytest.mark.parametrize(("fields", "rule"), STRUCTURES)
async def test_completions(fields: dict[str, Any], rule: str) -> None:
    state, backend = scripted_state()
    assert (await completion(state, prompt=["a", "b"], **fields)).status_code == 200
    for request in backend.requests:
        assert request.grammar is not None and request.grammar.startswith(f"%llguidance {{}}\nstart: {rule}")


@pytest.mark.parametrize(
    ("response_format", "rule"),
    [
        ({"type": "json_object"}, '%json {"type": "object"'),
        ({"type": "json_object", "schema": {"type": "integer"}}, '%json {"type": "integer"'),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}}, '%json {"type": "null"'),
        ({"type": "text"}, None),
        (None, None),
    ],
)
async def test_completions_have_response_format(response_format: Any, rule: str | None) -> None:
    state, backend = scripted_state()
    assert (await completion(state, response_format=response_format)).status_code == 200
    grammar = backend.requests[0].grammar
    assert grammar is None if rule is None else grammar is not None and f"start: {rule}" in grammar


async def test_completions_refuse_what_response_format_cant_be() -> None:
    state, _ = scripted_state()
    strict = {"name": "n", "strict": True, "schema": {"not": {}}}
    for response_format, param in (
        ({"type": "yaml"}, "response_format.type"),
        ({"type": "json_schema", "json_schema": strict}, "response_format.json_schema.schema.not"),
    ):
        answer = await completion(state, response_format=response_format)
        assert (answer.status_code, error(answer)["param"]) == (400, param)
    answer = await completion(state, response_format={"type": "json_object"}, grammar='root ::= "a"')
    assert (answer.status_code, error(answer)["param"]) == (400, "grammar")


@pytest.mark.parametrize("path", ["/completion", "/infill"])
@pytest.mark.parametrize(("fields", "rule"), STRUCTURES)
async def test_native(path: str, fields: dict[str, Any], rule: str) -> None:
    state, backend = scripted_state()
    body = {"prompt": "hi", "input_prefix": "a", "input_suffix": "b", **fields}
    answer = await call(state, "POST", path, json=body)
    assert answer.status_code == 200
    assert rule in (backend.requests[0].grammar or "")
    assert answer.json()["generation_settings"]["grammar"] == fields.get("grammar", "")


async def test_free_text_has_no_grammar() -> None:
    state, backend = scripted_state()
    await completion(state)
    await call(state, "POST", "/completion", json={"prompt": "hi", "grammar": ""})
    assert [request.grammar for request in backend.requests] == [None, None]


async def test_refusals_name_the_place() -> None:
    state, backend = scripted_state()
    schema = {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"not": {}}}}
    for answer in (
        await completion(state, json_schema=schema),
        await call(state, "POST", "/completion", json={"prompt": "hi", "json_schema": schema}),
    ):
        assert (answer.status_code, error(answer)["param"]) == (400, "json_schema.$defs.b.not")
    assert not backend.requests
