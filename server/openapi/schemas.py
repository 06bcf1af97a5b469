"""JSON schemas of requests (pydantic models) and answers (msgspec structs), as components of one document."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, get_args, get_type_hints

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from server.config.sampling import SAMPLING_FLAGS
from server.openapi.field_docs import field_docs
from server.schemas.chat_response import Delta
from server.schemas.json_types import not_null
from server.schemas.samplers import SamplerFields
from server.schemas.validation import build

Schema = dict[str, Any]

_PLACE = "#/components/schemas/"
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
"""What pydantic calls the bounds of a number that has a validator of its own, and what JSON Schema does."""


def reference(cls: type) -> Schema:
    return {"$ref": _PLACE + cls.__name__}


# --- requests ---


def request_schemas(models: Collection[type[BaseModel]]) -> dict[str, Schema]:
    """Of the models and of all that they consist of, by name."""
    for model in models:
        build(model)
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template=_PLACE + "{model}", schema_generator=_RequestSchemas
    )
    return dict(schemas["$defs"])


class _RequestSchemas(GenerateJsonSchema):
    """Pydantic's, without titles and without null as a default; with what fields mean."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        described = super().generate_inner(schema)
        for own, keyword in _BOUNDS.items():
            if own in described:
                described[keyword] = described.pop(own)
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        described.pop("title", None)
        model = schema["cls"]
        docs = field_docs(model)
        if issubclass(model, SamplerFields):
            docs = {flag.name: flag.help for flag in SAMPLING_FLAGS} | docs
        _describe(described, {field.alias or name: docs.get(name) for name, field in model.model_fields.items()})
        return described

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if described.get("default", ...) is None:
            del described["default"]
        return described

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        inner = schema["schema"]
        if schema["function"]["function"] is not_null and inner["type"] == "nullable":
            return self.generate_inner(inner["schema"])
        return super().function_before_schema(schema)


# --- answers ---


def response_schemas(types: Collection[Any]) -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """A schema by type, and the components that they refer to, by name."""
    kinds = Delta.__subclasses__()
    schemas, components = msgspec.json.schema_components([*types, *kinds], ref_template=_PLACE + "{name}")
    for struct in set(_structs([*types, *kinds])):
        _complete(components[struct.__name__], struct)
    for kind in kinds:
        _merge(components[Delta.__name__], components.pop(kind.__name__))
    return dict(zip(types, schemas, strict=False)), components


def _structs(types: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """All that the types consist of."""
    for hint in types:
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield hint
            yield from _structs(get_type_hints(hint).values())
        else:
            yield from _structs(get_args(hint))


def _complete(schema: Schema, struct: type[msgspec.Struct]) -> None:
    """A field with a default is optional in what is read; what is written always has it, unless it is unset."""
    del schema["title"]
    properties = schema["properties"]
    written = [name for name, field in properties.items() if "default" in field or name in schema.get("required", ())]
    for name in written:
        properties[name].pop("default", None)
    schema["required"] = written
    _describe(schema, field_docs(struct))


def _merge(whole: Schema, kind: Schema) -> None:
    """A message's delta has the fields of one of its kinds: it is told as one object with all of them."""
    for name, field in kind["properties"].items():
        whole["properties"].setdefault(name, field)


def _describe(schema: Schema, docs: dict[str, str | None] | dict[str, str]) -> None:
    for name, doc in docs.items():
        if doc is not None and name in schema["properties"]:
            schema["properties"][name] = {**schema["properties"][name], "description": doc}
