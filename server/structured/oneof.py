"""`oneOf` is enforced as `anyOf`, which is the same where no value can match two of the schemas.

As pydantic writes discriminated unions: objects with a required property that has another value in each.
"""

from __future__ import annotations

import json
from typing import Any

from server.structured.keywords import type_of
from server.structured.place import Place
from server.structured.references import References

MAX_BRANCHES = 100
MAX_QUESTIONS = 50_000
"""About pairs of schemas, for all of one request's: what isn't known by then isn't known."""
_DEEPEST = 8
"""References and properties that are looked through for one answer."""
_ALL = frozenset({"null", "boolean", "number", "string", "array", "object"})


class Disjointness:
    def __init__(self, references: References) -> None:
        self._references = references
        self._questions = MAX_QUESTIONS

    def check(self, branches: list[Any], place: Place) -> None:
        """Raises a 400 unless every value can match only one of them."""
        if len(branches) > MAX_BRANCHES:
            raise place.error(f"must have at most {MAX_BRANCHES} entries.")
        for number, branch in enumerate(branches):
            for other in range(number):
                if not self._disjoint(branches[other], branch, _DEEPEST):
                    raise place.error(
                        f"is not supported: one value may match both [{other}] and [{number}], as far as can be told. "
                        "Give them different types, or a required property with a different 'const' in each, or use "
                        "'anyOf'."
                    )

    def _disjoint(self, one: Any, other: Any, depth: int) -> bool:
        self._questions -= 1
        if one is False or other is False:
            return True
        if self._questions < 0 or not isinstance(one, dict) or not isinstance(other, dict) or depth < 0:
            return False
        for schema, against in ((one, other), (other, one)):
            if "$ref" in schema and self._disjoint(self._references.target(schema), against, depth - 1):
                return True
            for keyword in ("anyOf", "oneOf"):
                branches = schema.get(keyword)
                if (
                    branches
                    and len(branches) <= _DEEPEST
                    and all(self._disjoint(b, against, depth - 1) for b in branches)
                ):
                    return True
            if any(self._disjoint(part, against, depth - 1) for part in schema.get("allOf", ())[:_DEEPEST]):
                return True
        types = _types(one) & _types(other)
        if not types:
            return True
        values, others = _values(one), _values(other)
        if values is not None and others is not None:
            return not {*map(_identity, values)} & {*map(_identity, others)}
        return types == {"object"} and self._objects_disjoint(one, other, depth)

    def _objects_disjoint(self, one: dict[str, Any], other: dict[str, Any], depth: int) -> bool:
        names = {*one.get("required", ()), *other.get("required", ())}
        return any(self._disjoint(_property(one, name), _property(other, name), depth - 1) for name in names)


def _property(schema: dict[str, Any], name: str) -> Any:
    properties = schema.get("properties", {})
    if name in properties or schema.get("patternProperties"):
        return properties.get(name, True)
    return schema.get("additionalProperties", True)


def _types(schema: dict[str, Any]) -> frozenset[str]:
    if (values := _values(schema)) is not None:
        return frozenset(_kind(type_of(value)) for value in values)
    named = schema.get("type")
    if named is None:
        return _ALL
    return frozenset(map(_kind, named if isinstance(named, list) else [named]))


def _kind(name: str) -> str:
    """The type without a distinction among numbers: 1.0 is an integer too."""
    return "number" if name == "integer" else name


def _values(schema: dict[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _identity(value: Any) -> tuple[str, str]:
    """The same for all values that are equal in JSON (1 and 1.0, but not true), and for some that aren't."""
    kind = _kind(type_of(value))
    if kind == "number":
        return kind, repr(float(value)) if abs(value) < 2**53 else "large"
    return kind, json.dumps(value) if kind in ("string", "boolean") else ""
