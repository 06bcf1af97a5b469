"""JSON Schema's keywords, by what llguidance 1.9 makes of them. Measured, and compared with it in the tests."""

from __future__ import annotations

from typing import Any

TYPES = ("null", "boolean", "number", "integer", "string", "array", "object")

ENFORCED = frozenset(
    {
        "type", "enum", "const", "allOf", "anyOf", "oneOf", "$ref",
        "items", "additionalItems", "prefixItems", "minItems", "maxItems",
        "properties", "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties",
        "minLength", "maxLength", "pattern", "format",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    }
)  # fmt: skip

UNSUPPORTED = frozenset(
    {
        "not", "if", "then", "else",
        "contains", "minContains", "maxContains", "uniqueItems", "unevaluatedItems",
        "propertyNames", "dependencies", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
        "$dynamicRef", "$recursiveRef",
    }
)  # fmt: skip
"""They constrain values, and can't be enforced. All others that are not above describe, and are left to readers."""

IDENTIFIERS = ("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary", "x-guidance")
"""Left out: they change how llguidance reads the rest, or send it looking for other documents."""

FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"})

IN_PLACE = ("allOf", "anyOf", "oneOf")
"""Lists of schemas for the same value."""
LISTS = (*IN_PLACE, "prefixItems")
MAPS = ("properties", "patternProperties")
SINGLE = ("items", "additionalItems", "additionalProperties")
COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def type_of(value: Any) -> str:
    """A JSON value's type. Numbers that were written with a point or an exponent are no integers here."""
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


def vacuous(keyword: str, value: object) -> bool:
    """Whether a keyword that can't be enforced asks for nothing."""
    match keyword:
        case "uniqueItems":
            return value is False
        case "dependencies" | "dependentRequired" | "dependentSchemas":
            return value == {}
        case "contains":
            return False
        case "propertyNames" | "unevaluatedItems" | "unevaluatedProperties" | "then" | "else":
            return value is True or value == {}
        case _:
            return False
