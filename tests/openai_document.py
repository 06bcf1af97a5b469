"""OpenAI's OpenAPI document as a test oracle: what it accepts, what it rejects, and whether a response fits it.

The document is named by the environment variable PADDOCK_OPENAI_OPENAPI; tests that need it are skipped without.
It mixes OpenAPI 3.0 (`nullable`) with 3.1, so its schemas are rewritten to plain JSON Schema here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

VARIABLE = "PADDOCK_OPENAI_OPENAPI"

needs_document = pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no document")

Schema = dict[str, Any]

_SAMPLES: tuple[Any, ...] = (None, True, 7, 1.5, "no such value", [], {}, [{}], [None], {"no such key": None})


@cache
def document() -> OpenAIDocument:
    """The document that the environment names."""
    return OpenAIDocument(json.loads(Path(os.environ[VARIABLE]).read_text()))


class OpenAIDocument:
    """Its component schemas by name."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, Schema] = _plain(document["components"]["schemas"])

    def validator(self, schema: str | Schema) -> Draft202012Validator:
        """A validator of a component, by name, or of a schema that refers to components."""
        if isinstance(schema, str):
            schema = {"$ref": f"#/components/schemas/{schema}"}
        return Draft202012Validator({"components": {"schemas": self._schemas}, **schema})

    def check(self, name: str, value: Any) -> None:
        """Assert that `value` is what the component `name` describes."""
        faults = [f"{error.json_path}: {error.message}" for error in self.validator(name).iter_errors(value)]
        assert not faults, faults

    def properties(self, name: str) -> dict[str, Schema]:
        """The properties of an object component, those of its `allOf` included."""
        return self._properties(self._resolve({"$ref": f"#/components/schemas/{name}"}))

    def rejects(self, schema: Schema, value: Any) -> bool:
        return not self.validator(schema).is_valid(value)

    def wrong_values(self, schema: Schema) -> Iterator[Any]:
        """Values of the wrong type, out of range, or wrong somewhere inside; each is rejected by the document."""
        for value in self._variations(schema):
            if self.rejects(schema, value):
                yield value

    def edges(self, schema: Schema) -> Iterator[Any]:
        """The extreme numbers that the document still accepts."""
        schema = self._resolve(schema)
        for branch in schema.get("anyOf", [schema]):
            yield from (branch[edge] for edge in ("minimum", "maximum") if edge in branch)

    def _variations(self, schema: Schema) -> Iterator[Any]:
        yield from _SAMPLES
        schema = self._resolve(schema)
        for branch in map(self._resolve, schema.get("anyOf", [schema])):
            if "anyOf" in branch:
                yield from self._variations(branch)
            yield from self._beyond(branch)
            yield from self._inside(branch)

    def _beyond(self, schema: Schema) -> Iterator[Any]:
        if "minimum" in schema:
            yield schema["minimum"] - 1
        if "maximum" in schema:
            # the document rounds int64's ends to decimals: one more is lost in a float
            yield schema["maximum"] + 1
        if "maxLength" in schema:
            yield "x" * (schema["maxLength"] + 1)
        if "maxItems" in schema:
            yield [self.example(schema["items"])] * (schema["maxItems"] + 1)

    def _inside(self, schema: Schema) -> Iterator[Any]:
        if "items" in schema:
            yield from ([item] for item in self._variations(schema["items"]))
        properties = self._properties(schema)
        if not properties:
            return
        whole = {name: self.example(value) for name, value in properties.items()}
        for name, value in properties.items():
            yield {key: item for key, item in whole.items() if key != name}
            yield from ({**whole, name: item} for item in self._variations(value))

    def example(self, schema: Schema) -> Any:
        """A value that the schema accepts."""
        schema = self._resolve(schema)
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0])
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case "array":
                return [self.example(schema["items"])]
            case "object":
                return {name: self.example(value) for name, value in self._properties(schema).items()}
            case _:
                return "text"

    def _properties(self, schema: Schema) -> dict[str, Schema]:
        found: dict[str, Schema] = {}
        for part in schema.get("allOf", []):
            found |= self._properties(self._resolve(part))
        found |= schema.get("properties", {})
        return found

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rsplit("/", 1)[-1]]
        return schema


def _plain(node: Any) -> Any:
    """JSON Schema for OpenAPI: `nullable` spelled out; `oneOf` relaxed, since the document's overlap."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("properties"), dict):
        node = {**node, "properties": {name: _plain(value) for name, value in node["properties"].items()}}
        rest = {key: _plain(value) for key, value in node.items() if key != "properties"}
        plain = {**rest, "properties": node["properties"]}
    else:
        plain = {key: _plain(value) for key, value in node.items()}
    if "oneOf" in plain:
        plain["anyOf"] = plain.pop("oneOf")
    if plain.pop("nullable", None) is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain
