"""What a JSON schema says about a tool's arguments, as far as formats need it.

Schemas come from clients, so nothing here trusts them: wrong types are ignored, references are followed a few times
only, and no part is looked at twice for one answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from server.structured.keywords import type_of

Schema = Mapping[str, Any]

_DEFINITIONS = ("$defs", "definitions")
_REFERENCES = tuple(f"#/{key}/" for key in _DEFINITIONS)
_WHOLE = re.compile(r"\^\(\?:(.*)\)\$", re.DOTALL)
"""As `custom.py` has it."""
_DEEPEST = 20
"""References that are followed, one after another."""


def names(parameters: Schema | None) -> list[str]:
    """The arguments that the schema lists."""
    return list(_mapping(parameters, "properties"))


def required(parameters: Schema | None) -> frozenset[str]:
    """Those that a call must have."""
    listed = (parameters or {}).get("required")
    return frozenset(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else frozenset()


def argument(parameters: Schema | None, name: str) -> Schema:
    """The schema of one argument; {} if nothing is known of it."""
    properties = _mapping(parameters, "properties")
    schema = properties[name] if name in properties else (parameters or {}).get("additionalProperties")
    return schema if isinstance(schema, Mapping) else {}


def standalone(schema: Schema, root: Schema) -> Schema:
    """A part of the schema `root`, with the definitions that it needs; only its types, if it refers to other places."""
    needed: dict[str, dict[str, Any]] = {}
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        parts.extend(part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ())
        reference = part.get("$ref") if isinstance(part, Mapping) else None
        if not isinstance(reference, str):
            continue
        if not reference.startswith(_REFERENCES) or reference.count("/") != 2:
            known = sorted(types(schema, root))
            return {"type": known} if known else {}
        _, place, name = map(_unescaped, reference.split("/"))
        if name not in needed.setdefault(place, {}):
            needed[place][name] = _target(reference, root)
            parts.append(needed[place][name])
    return {**needed, **schema}


def types(schema: Schema, root: Schema) -> frozenset[str]:
    """JSON types that a value may have, as far as the schema says; empty: it doesn't. `root`: what it is a part of."""
    return frozenset(_types(schema, root, set()))


def choices(schema: Schema) -> list[Any] | None:
    """The only values that there are, if the schema lists them."""
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def whole_pattern(schema: Schema) -> str | None:
    """The regular expression for all of a text, if the schema has one in the form that we write ourselves."""
    found = _WHOLE.fullmatch(pattern) if isinstance(pattern := schema.get("pattern"), str) else None
    return found[1] if found else None


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
            target = target.get(_unescaped(step)) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) and reference.startswith("#") else {}


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _types(schema: Schema, root: Schema, seen: set[int]) -> Iterator[str]:
    schema = resolved(schema, root)
    if id(schema) in seen or len(seen) > 1000:
        return
    seen.add(id(schema))
    named = schema.get("type")
    if isinstance(named, str):
        yield named
    elif isinstance(named, list):
        yield from (name for name in named if isinstance(name, str))
    elif (values := choices(schema)) is not None:
        yield from map(type_of, values)
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


def _mapping(schema: Schema | None, key: str) -> Schema:
    value = schema.get(key) if schema is not None else None
    return value if isinstance(value, Mapping) else {}
