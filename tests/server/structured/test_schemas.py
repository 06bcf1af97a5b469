"""Each keyword of JSON Schema: enforced, or refused with its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.structured.json_schema import json_object_rule
from server.structured.keywords import FORMATS, UNSUPPORTED

from .matching import compiled, fits
from .schema_rules import INTEGER, STRING, at, refused, rule

OBJECT = {"type": "object", "properties": {"a": STRING, "b": INTEGER}, "required": ["a"]}

CASES: list[tuple[Any, list[Any], list[Any]]] = [
    ({}, [1, "x", None, [1, {"a": []}], {"a": True}], []),
    (True, [1, [1]], []),
    ({"type": "null"}, [None], [0, "null"]),
    ({"type": "boolean"}, [True, False], [0, None]),
    (INTEGER, [0, -5, 10**20], [1.5, "1"]),
    ({"type": "number"}, [0, -1.5, 1e10], ["1", None]),
    (STRING, ["", "é🦙", 'a"b\n\\'], [1, None]),
    ({"type": ["string", "null"]}, ["a", None], [1]),
    (
        {**STRING, "format": "date"},
        ["0001-01-31", "2000-02-29", "2024-02-29", "2023-04-30", "9999-12-31"],
        ["0000-07-06", "1900-02-29", "2023-02-29", "2023-04-31", "2023-13-01"],
    ),
    (
        {**STRING, "format": "date-time"},
        ["2024-02-29T23:59:59Z", "2024-02-29T00:00:00.5+01:00"],
        ["2023-02-29T12:00:00Z", "2024-02-29T12:00:60Z"],
    ),
    ({**STRING, "format": "time"}, ["23:59:59Z"], ["23:59:60Z"]),
    ({"enum": [1, "a", None, [1, 2], {"a": 1}]}, [1, "a", None, [1, 2], {"a": 1}], [2, "b", [1], {}]),
    ({"const": {"a": [1, "x"]}}, [{"a": [1, "x"]}], [{}, {"a": [1]}]),
    (OBJECT, [{"a": "x"}, {"a": "x", "b": 1}], [{}, {"b": 1}, {"a": 1}, {"a": "x", "c": 1}]),
    (
        {**OBJECT, "additionalProperties": INTEGER},
        [{"a": "x"}, {"a": "x", "c": 1, "d": 2}],
        [{"a": "x", "c": "y"}],
    ),
    ({"type": "object"}, [{}, {"a": 1}], [[]]),
    ({"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
    ({"type": "object", "patternProperties": {"^x": INTEGER}, "additionalProperties": False}, [{"xa": 1}], [{"a": 1}]),
    ({"type": "object", "required": ["a"]}, [{"a": 1}, {"a": 1, "b": 2}], [{}, {"b": 2}]),
    ({"type": "object", "minProperties": 1, "maxProperties": 2}, [{"a": 1}, {"a": 1, "b": 2}], [{}]),
    (
        {**OBJECT, "required": [], "minProperties": 1, "additionalProperties": False},
        [{"a": "x"}, {"b": 1}, {"a": "x", "b": 1}],
        [{}],
    ),
    ({"type": "array", "items": INTEGER}, [[], [1, 2]], [["a"], {}]),
    ({"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
    ({"type": "array", "prefixItems": [STRING, INTEGER], "items": False}, [["a"], ["a", 1]], [[1], ["a", 1, 2]]),
    ({"type": "array", "items": [STRING], "additionalItems": INTEGER}, [["a", 1]], [["a", "b"]]),
    ({"type": "string", "minLength": 2, "maxLength": 3.0}, ["ab", "äöü"], ["a", "abcd"]),
    ({"type": "string", "pattern": "^[a-c]+$"}, ["abc"], ["abd", ""]),
    ({"type": "string", "pattern": "\\d"}, ["a1b"], ["ab"]),
    ({"type": "string", "format": "date"}, ["2024-02-29"], ["2024-2-9", "x"]),
    ({"type": "integer", "format": "int32"}, [5], ["x"]),
    ({"type": "integer", "minimum": 3, "maximum": 12}, [3, 12], [2, 13]),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5], [0, 1]),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, [4], [3]),
    ({"type": "integer", "multipleOf": 7}, [0, 21], [1, 22]),
    ({"type": "number", "multipleOf": 0.25}, [0.75], [0.3]),
    ({"anyOf": [STRING, {"type": "null"}]}, ["a", None], [1]),
    ({"allOf": [OBJECT, {"properties": {"c": INTEGER}, "required": ["c"]}]}, [{"a": "x", "c": 1}], [{"a": "x"}]),
    ({"oneOf": [STRING, INTEGER]}, ["a", 1], [None]),
    ({"$ref": "#/$defs/x", "$defs": {"x": STRING}}, ["a"], [1]),
    ({"$ref": "#/$defs/a~1b c", "$defs": {"a/b c": STRING}}, ["a"], [1]),
    ({"$ref": "#/$defs/List%5Bint%5D", "$defs": {"List[int]": {"items": INTEGER, "type": "array"}}}, [[1]], [["a"]]),
    ({"$id": "http://x/y", "$ref": "http://x/y#/$defs/x", "$defs": {"x": {"$id": "z", "type": "string"}}}, ["a"], [1]),
    ({"prefixItems": [STRING, {"$ref": "#/prefixItems/0"}], "type": "array"}, [["a", "b"]], [["a", 1]]),
    (
        {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        [{"next": {"next": None}}],
        [{"next": {}}],
    ),
    (
        {"$schema": "http://json-schema.org/draft-04/schema#", "id": "x", "title": "t", "description": "d",
         "default": 1, "examples": [1], "$comment": "c", "deprecated": True, "readOnly": True, "writeOnly": True,
         "nullable": False, "discriminator": {"propertyName": "k"}, "contentEncoding": "base64",
         "unknown": {"not": 1}, **STRING},
        ["a"], [1],
    ),
    ({"type": "array", "uniqueItems": False, "dependentRequired": {}, "unevaluatedItems": True}, [[1, 1]], [1]),
    ({"type": "object", "properties": {"a\x7f\"\n": {"type": "null"}}, "additionalProperties": False}, [{}], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=lambda value: json.dumps(value)[:60])
def test_enforced(schema: Any, good: list[Any], bad: list[Any]) -> None:
    written = rule(schema)
    for value in good:
        assert fits(written, json.dumps(value, ensure_ascii=False, separators=(",", ":"))), value
    for value in bad:
        assert not fits(written, json.dumps(value, separators=(",", ":"))), value


def test_json_is_compact() -> None:
    for written in (rule({"type": "object"}), json_object_rule()):
        assert fits(written, '{"a":[1,2]}')
        for text in ('{ "a":1}', '{"a": 1}', '{"a":1 }', '{"a":[1, 2]}', ' {"a":1}', '{"a":1}\n', "[]"):
            assert not fits(written, text), text


@pytest.mark.parametrize("keyword", sorted(UNSUPPORTED))
def test_unsupported_keywords_are_named(keyword: str) -> None:
    """By llguidance too, which knows no path."""
    value = {"minContains": 1, "uniqueItems": True}.get(keyword, {"type": "integer"})
    schema = {"type": "object", "properties": {"a b": {"items": {"anyOf": [True, {**STRING, keyword: value}]}}}}
    assert at(refused(schema)) == f"properties['a b'].items.anyOf[1].{keyword}"
    assert "can't be enforced" in refused(schema).message
    with pytest.raises(ValueError, match="Unimplemented keys"):
        compiled("%json " + json.dumps({**STRING, keyword: value}))
    assert fits(rule(schema, strict=False), '{"a b":["x"]}')


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats(name: str) -> None:
    compiled(rule({"type": "string", "format": name}))


@pytest.mark.parametrize("name", ["iri", "regex", "password", "int32", "unknown"])
def test_other_formats(name: str) -> None:
    schema = {"anyOf": [{"type": ["string", "null"], "format": name}]}
    assert at(refused(schema)) == "anyOf[0].format"
    assert fits(rule(schema, strict=False), '"anything"')


MALFORMED: dict[str, Any] = {
    "": 5,
    "type": {"type": "text"},
    "type ": {"type": []},
    "type  ": {"type": [["string"]]},
    "type   ": {"type": {}},
    "properties": {"properties": []},
    "properties.a": {"properties": {"a": "string"}},
    "patternProperties": {"patternProperties": 5},
    "patternProperties['(']": {"patternProperties": {"(": True}},
    "required": {"required": "a"},
    "required ": {"required": [5]},
    "items": {"items": "x"},
    "items[0]": {"items": ["x"]},
    "prefixItems": {"prefixItems": {}},
    "anyOf": {"anyOf": []},
    "allOf[0]": {"allOf": [5]},
    "oneOf": {"oneOf": {}},
    "enum": {"enum": []},
    "enum ": {"enum": {}},
    "$ref": {"$ref": "#/$defs/x"},
    "$ref ": {"$ref": "http://example.com/schema"},
    "$ref  ": {"$ref": 5},
    "$ref   ": {"$ref": "#name", "$defs": {"x": {"$anchor": "name"}}},
    "$ref    ": {"$ref": "#/$defs/0/x", "$defs": []},
    "minLength": {"minLength": -1},
    "maxItems": {"maxItems": 1.5},
    "minItems": {"minItems": True},
    "minimum": {"minimum": "1"},
    "maximum": {"maximum": True},
    "maximum ": {"maximum": 1e300},
    "multipleOf": {"multipleOf": 0},
    "multipleOf ": {"multipleOf": 1e-20},
    "multipleOf  ": {"multipleOf": 99991},
    "multipleOf   ": {"multipleOf": 10**400},
    "pattern": {"pattern": 5},
    "pattern ": {"pattern": "^(?=a)"},
    "pattern  ": {"pattern": "(a{1000}){1000}"},
    "format": {"format": 5},
    "minProperties": {"properties": {"a": True}, "minProperties": 1},
    "minProperties ": {"properties": {f"p{i}": True for i in range(51)}, "minProperties": 1},
    "maxProperties": {"properties": {"a": True}, "additionalProperties": False, "maxProperties": 2},
}


@pytest.mark.parametrize("path", MALFORMED)
def test_malformed(path: str) -> None:
    assert at(refused(MALFORMED[path])) == path.strip()


LEFT_OUT: list[tuple[Any, list[Any], list[Any]]] = [
    ({"type": "string", "pattern": "^(?=a)"}, ["b"], [1]),
    ({"type": "string", "pattern": "\\bword\\b", "maxLength": 3}, ["b"], ["abcd"]),
    ({"type": "object", "properties": {"a": INTEGER}, "patternProperties": {"(?!x)": STRING, "^y": INTEGER}},
     [{"a": 1}, {"y": 1}], [{"a": "x"}, {"y": "x"}]),
    ({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}, [5], [-1]),
    ({"type": "integer", "minimum": -9223372036854775808, "exclusiveMinimum": True}, [-5], ["x"]),
    ({"type": "number", "exclusiveMaximum": 1e300, "minimum": 2}, [5], [1]),
    ({"type": "number", "multipleOf": 1e-20}, [0.5], ["x"]),
    ({"type": "integer", "multipleOf": 99991}, [5], [0.5]),
    ({"type": "object", "properties": {"a": {"$ref": "http://example.com/schema"}}}, [{"a": 1}], [1]),
    ({"$ref": "#name", "type": "integer", "$defs": {"x": {"$anchor": "name"}}}, [1], ["x"]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), LEFT_OUT, ids=lambda value: json.dumps(value)[:60])
def test_left_out_unless_strict(schema: Any, good: list[Any], bad: list[Any]) -> None:
    refused(schema)
    written = rule(schema, strict=False)
    for value in good:
        assert fits(written, json.dumps(value, separators=(",", ":"))), value
    for value in bad:
        assert not fits(written, json.dumps(value, separators=(",", ":"))), value


def test_a_place_that_there_is_not_is_no_schema() -> None:
    assert at(refused({"$ref": "#/$defs/x"}, strict=False)) == "$ref"


def test_false_matches_nothing() -> None:
    assert at(refused(False)) == ""


def test_paths_follow_references() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"items": {"not": {}}}, "y": {"not": {}}}}
    assert at(refused(schema)) == "$defs.x.items.not"
    del schema["properties"]
    assert fits(rule(schema), "1"), "definitions that nothing refers to don't matter"


def test_objects_are_closed_where_that_changes_no_meaning() -> None:
    listed = {"type": "object", "properties": {"a": STRING}}
    other = {"type": "object", "properties": {"b": STRING}}
    assert not fits(rule(listed), '{"a":"x","c":1}')
    assert not fits(rule({"allOf": [listed]}), '{"a":"x","c":1}')
    for schema in (
        {"allOf": [listed, other]},
        {**listed, "anyOf": [other]},
        {"$ref": "#/$defs/x", **other, "$defs": {"x": listed}},
        {"allOf": [{"anyOf": [{"$ref": "#/$defs/x"}]}, other], "$defs": {"x": listed}},
    ):
        assert fits(rule(schema), '{"a":"x","b":"y"}') or fits(rule(schema), '{"b":"y","a":"x"}'), schema
    assert fits(rule({**listed, "required": ["c"]}), '{"a":"x","c":1}')
    assert fits(rule({**listed, "additionalProperties": True}), '{"a":"x","c":1}')
    assert fits(rule({"properties": {}, "type": "object"}), '{"a":1}')


def test_the_clients_schema_is_left_alone() -> None:
    schema = {"$id": "x", "type": "object", "properties": {"a": {"not": {}}}}
    before = json.dumps(schema)
    rule(schema, strict=False)
    assert json.dumps(schema) == before


def test_a_client_cant_set_options() -> None:
    options = {"x-guidance": {"whitespace_flexible": True}}
    assert not fits(rule({**options, "properties": {"a": options}, "type": "object"}), '{"a": 1}')
