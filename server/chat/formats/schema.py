"""What a JSON schema says about a tool's arguments, as far as formats need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.chat.formats.tools import Tool

Schema = Mapping[str, Any]

_DEFINITIONS = ("$defs", "definitions")
_REFERENCES = tuple(f"#/{key}/" for key in _DEFINITIONS)
_DEEPEST = 20
"""References that are followed, one after another."""


def arguments_schema(tool: Tool) -> dict[str, Any]:
    """The schema of the whole arguments object. A function without parameters takes none."""
    if tool.parameters is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return {**tool.parameters, "type": "object"}


def properties(tool: Tool | None) -> dict[str, Schema]:
    """The schemas of the arguments by name, each with the definitions that it may refer to."""
    return {name: part(tool, name) or {} for name in _mapping(tool.parameters if tool else None, "properties")}


def required(tool: Tool) -> frozenset[str]:
    names = (tool.parameters or {}).get("required")
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def part(tool: Tool | None, name: str) -> Schema | None:
    """The schema of one argument; None if nothing is known of it."""
    parameters = tool.parameters if tool is not None else None
    schema = _mapping(parameters, "properties").get(name)
    if schema is None:
        schema = parameters.get("additionalProperties") if parameters is not None else None
    if not isinstance(schema, Mapping):
        return None
    definitions = {key: parameters[key] for key in _DEFINITIONS if parameters is not None and key in parameters}
    if not _self_contained([schema, *definitions.values()]):
        known = sorted(types(schema, parameters))
        return {"type": known} if known else {}
    return {**definitions, **schema}


def _self_contained(schemas: list[Any]) -> bool:
    """Whether they refer to definitions only, not to other places of the schema that they are cut from."""
    while schemas:
        value = schemas.pop()
        if isinstance(value, Mapping):
            reference = value.get("$ref")
            if isinstance(reference, str) and not reference.startswith(_REFERENCES):
                return False
            schemas.extend(value.values())
        elif isinstance(value, list):
            schemas.extend(value)
    return True


def types(schema: Schema | None, root: Schema | None = None) -> frozenset[str]:
    """JSON types that a value of the schema may have, as far as it says; empty: it doesn't.

    `root`: the schema that this one is a part of, which it may refer to.
    """
    if schema is None:
        return frozenset()
    return frozenset(_types(schema, schema if root is None else root, set()))


def choices(schema: Schema) -> list[Any] | None:
    """The only values that there are, if the schema lists them."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def resolved(schema: Schema, root: Schema) -> Schema:
    """What the schema refers to, if it does."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = _target(reference, root)
    return {}


def _target(reference: str, root: Schema) -> Schema:
    target: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) and reference.startswith("#") else {}


def _types(schema: Schema, root: Schema, seen: set[int]) -> Iterator[str]:
    schema = resolved(schema, root)
    if id(schema) in seen:
        return
    seen.add(id(schema))
    named = schema.get("type")
    if isinstance(named, str):
        yield named
    elif isinstance(named, list):
        yield from (name for name in named if isinstance(name, str))
    elif (values := choices(schema)) is not None:
        yield from map(_type_of, values)
    else:
        for key in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(key)
            for branch in branches if isinstance(branches, list) else []:
                if isinstance(branch, Mapping):
                    yield from _types(branch, root, seen)
        if "properties" in schema:
            yield "object"
        elif "items" in schema:
            yield "array"
    if schema.get("nullable") is True:
        yield "null"


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _mapping(schema: Schema | None, key: str) -> Schema:
    value = schema.get(key) if schema is not None else None
    return value if isinstance(value, Mapping) else {}
