"""Paddock's own OpenAPI document for tests: a value against the schema of a request or of an answer."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

Schema = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")


class Document:
    def __init__(self, document: dict[str, Any]) -> None:
        self.whole = document
        self.components: dict[str, Schema] = document["components"]["schemas"]

    def operations(self) -> dict[tuple[str, str], Any]:
        """By method and path."""
        return {
            (method.upper(), path): operation
            for path, item in self.whole["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        }

    def response(self, method: str, path: str, status: int) -> dict[str, Any]:
        response: dict[str, Any] = self.operations()[method, path]["responses"][str(status)]
        if "$ref" in response:
            response = self.whole["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]
        return response

    def answer(self, method: str, path: str, status: int = 200, media: str = "application/json") -> Schema:
        schema: Schema = self.response(method, path, status)["content"][media]["schema"]
        return schema

    def body(self, path: str) -> Schema:
        """The schema of what is posted, by itself."""
        schema: Schema = self.operations()["POST", path]["requestBody"]["content"]["application/json"]["schema"]
        return self.components[schema["$ref"].rsplit("/", 1)[-1]]

    def faults(self, schema: Schema, value: Any, *, closed: bool = False) -> list[str]:
        """`closed`: a property that the document doesn't tell of is one, too."""
        errors = self.validator(schema, closed=closed).iter_errors(value)
        return [f"{error.json_path}: {error.message}"[:300] for error in errors]

    def validator(self, schema: Schema, *, closed: bool = False) -> Draft202012Validator:
        components = {name: _closed(part) for name, part in self.components.items()} if closed else self.components
        return Draft202012Validator({**schema, "components": {"schemas": components}})


def _closed(schema: Schema) -> Schema:
    return {"additionalProperties": False, **schema} if schema.get("properties") else schema
