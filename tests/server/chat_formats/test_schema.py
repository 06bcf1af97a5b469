"""What schemas say about arguments, whatever they are."""

from __future__ import annotations

from typing import Any

import pytest

from server.chat.formats import schema
from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.grammar import GrammarTooLarge
from server.chat.formats.tools import Tool, ToolChoice
from tests.server.chat_formats.writers import BY_NAME

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "leaf": {"$ref": "#/definitions/a~1b"}}}
ROOT = {
    "properties": {
        "list": {"$ref": "#/$defs/node"},
        "plain": {"type": "string"},
        "odd": {"$ref": "#/properties/plain"},
    },
    "$defs": {"node": NODE, "unused": {"type": "array"}},
    "definitions": {"a/b": {"type": "integer"}},
}


def test_a_part_brings_the_definitions_that_it_needs() -> None:
    assert schema.standalone(ROOT["properties"]["plain"], ROOT) == {"type": "string"}
    assert schema.standalone(ROOT["properties"]["list"], ROOT) == {
        "$ref": "#/$defs/node",
        "$defs": {"node": NODE},
        "definitions": {"a/b": {"type": "integer"}},
    }


def test_a_part_that_refers_elsewhere_keeps_its_type() -> None:
    assert schema.standalone(ROOT["properties"]["odd"], ROOT) == {"type": ["string"]}
    assert schema.standalone({"$ref": "https://example.com/schema"}, ROOT) == {}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"properties": []},
        {"properties": {"a": True}},
        {"properties": {"a": {"type": 3, "enum": "x", "anyOf": {}, "$ref": 1}}, "required": "a"},
        {"properties": {"a": {"$ref": "#/properties/a"}}, "required": [1]},
        {"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}] * 50}}},
        {"additionalProperties": False},
        {"type": "string"},
    ],
)
def test_nonsense(parameters: dict[str, Any]) -> None:
    tool = Tool("f", parameters)
    assert tool.types("a") == frozenset()
    assert schema.required(parameters) == frozenset()
    for written in BY_NAME.values():
        chat = ChatFormat(written.format, written.thinking)
        assert chat.constraint([tool], ToolChoice(), "", {})


def test_too_large_a_grammar() -> None:
    definition = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(10_000)}}
    properties = {f"a{number}": {"$ref": "#/$defs/large"} for number in range(1000)}
    tool = Tool("f", {"properties": properties, "$defs": {"large": definition}})
    with pytest.raises(GrammarTooLarge):
        ChatFormat(BY_NAME["qwen-xml"].format, None).constraint([tool], ToolChoice(), "", {})
