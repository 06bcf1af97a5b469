"""How long JSON is at least that matches a schema: the schema as `shortest.py` knows grammars."""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable, Mapping
from functools import cached_property
from math import prod
from typing import Any

from server.structured.keywords import TYPES
from server.structured.merging import Merging, conjuncts
from server.structured.references import References
from server.structured.regex import Measures
from server.structured.shortest import Either, Rule, Run, Shape, Text, Times

_ANY = Text(1, free=True)
_LONGEST_FORMAT = 36
"""Of the shortest texts in a format: a uuid's."""
_OVERHEAD = 8
"""Of a property: quotation marks, colon, comma; or a value of no known length."""
_MAX_LOOKS = 100_000
"""At schemas that are merged; after that, each of them counts as if it were all of them."""

Schema = dict[str, Any]


class SchemaShapes:
    """Of a schema that has been checked, and everything in it."""

    def __init__(self, references: References, merging: Merging, patterns: Mapping[str, Measures]) -> None:
        """`patterns`: all that are in it."""
        self._references = references
        self._merging = merging
        self._patterns = patterns
        self._looks = _MAX_LOOKS

    def rules(self) -> dict[Hashable, Shape]:
        """By the schemas' ids."""
        return {id(schema): self._shape(schema) for schema in self._merging.order}

    def _shape(self, schema: Schema) -> Shape:
        together = conjuncts(schema)
        values = next((values for keyword, values in together if keyword in ("const", "enum")), None)
        if values is not None:
            return Either(tuple(Text(len(_written(value)), free=len(values) > 1) for value in values))
        match together:
            case []:
                return _ANY
            case [("own", _)]:
                named = schema.get("type", TYPES)
                return Either(tuple(self._of_type(t, schema) for t in ([named] if isinstance(named, str) else named)))
            case [("$ref", _)]:
                return _named(self._references.target(schema))
            case [(_, schemas)]:
                return Either(tuple(map(_named, schemas)))
        return self._merged(schema)

    def _merged(self, schema: Schema) -> Shape:
        """What is at least as long as any value that schemas match together, whichever of them: their counts may come
        to stand within each other."""
        if self._looks < 0:
            return self._all_merged
        merged = self._merging.reached([schema]).values()
        self._looks -= len(merged)
        return self._product(merged)

    @cached_property
    def _all_merged(self) -> Shape:
        return self._product(self._merging.order)

    def _product(self, schemas: Collection[Schema]) -> Shape:
        counts = prod(max(part.get(keyword, 1), 1) for part in schemas for keyword in ("minItems", "minProperties"))
        return Times(Text(sum(map(self._own_length, schemas))), min(counts, 10**9))

    def _own_length(self, schema: Schema) -> int:
        """Of the longest of everything in a schema that isn't in a schema in it."""
        values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        pattern = self._patterns[schema["pattern"]].size if "pattern" in schema else 0
        names = sum(len(_written(name)) + _OVERHEAD for name in schema.get("required", ()))
        longest = max((len(_written(value)) for value in values), default=0)
        return _OVERHEAD + longest + int(schema.get("minLength", 0)) + pattern + names

    def _of_type(self, name: str, schema: Schema) -> Shape:
        match name:
            case "null":
                return Text(4)
            case "boolean":
                return Text(4, free=True)
            case "string":
                return Text(self._string_length(schema) + 2, free=True)
            case "array":
                return _array(schema)
            case "object":
                return _object(schema)
        return _ANY

    def _string_length(self, schema: Schema) -> int:
        least: int = schema.get("minLength", 0)
        shortest = least
        if "format" in schema:
            shortest += _LONGEST_FORMAT
        if "pattern" in schema:
            pattern = self._patterns[schema["pattern"]]
            # a text longer than the pattern repeats a part of it, so the next one that is long enough isn't far
            shortest += pattern.size if least or "format" in schema else pattern.shortest
        most: int = schema.get("maxLength", shortest)
        return max(least, min(shortest, most))


def _array(schema: Schema) -> Shape:
    count = schema.get("minItems", 0)
    items = schema.get("items", True)
    first = items if isinstance(items, list) else schema.get("prefixItems", [])
    rest = schema.get("additionalItems", True) if isinstance(items, list) else items
    needed = [part for item in first[:count] for part in (_named(item), Text(1))]
    more = count - len(first[:count])
    if more:
        needed.append(Times(Run((_named(rest), Text(1))), more))
    return Run((Text(1), *needed, Text(1)))


def _object(schema: Schema) -> Shape:
    properties = schema.get("properties", {})
    names = set(schema.get("required", ()))
    patterns = schema.get("patternProperties", {})
    additional = schema.get("additionalProperties", True)
    others = Either(
        tuple(map(_named, [*patterns.values(), *([] if additional is False and patterns else [additional])]))
    )
    parts: list[Shape] = [Text(1)]
    for name in [*properties, *sorted(names - properties.keys())]:
        value = _named(properties[name]) if name in properties else others
        parts += [Text(len(_written(name)) + 2), value] if name in names else [Times(value, 0)]
    if (more := schema.get("minProperties", 0) - len(names)) > 0:
        parts.append(Times(Run((Text(_OVERHEAD, free=not patterns), others)), more))
    return Run((*parts, Text(1)))


def _named(schema: Any) -> Shape:
    return Rule(id(schema)) if isinstance(schema, dict) else _ANY


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
