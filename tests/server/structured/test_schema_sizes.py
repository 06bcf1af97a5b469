"""Schemas that are too large are refused; those that only look it are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.limits import SCHEMA_SIZE
from server.structured import keyword_checks, schema_walk

from .matching import allowed, compiled
from .schema_rules import STRING, refused, rule


def chain(n: int, **beside: Any) -> dict[str, Any]:
    steps = {f"d{i}": {"properties": {"n": {"$ref": f"#/$defs/d{i + 1}", **beside}}} for i in range(n)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{n}": STRING}}


def doubling(n: int) -> dict[str, Any]:
    """What would be 2 to the n schemas, once merged."""
    steps = {
        f"d{i}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/d{i + 1}", "minItems": 0}] * 2} for i in range(n)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{n}": {"type": "array"}}}


TOO_LARGE: dict[str, Any] = {
    "text": {"description": "x" * SCHEMA_SIZE},
    "subschemas": {"anyOf": [{"items": {"items": STRING}} for _ in range(schema_walk.MAX_SUBSCHEMAS // 2)]},
    "references": chain(schema_walk.MAX_DEPTH),
    "properties": {"properties": {f"p{i}": True for i in range(keyword_checks.MAX_PROPERTIES + 1)}},
    "optional properties": {
        "properties": {f"p{i}": True for i in range(keyword_checks.MAX_OPTIONAL_PROPERTIES + 2)},
        "required": ["p0"],
    },
    "required": {"required": [f"p{i}" for i in range(keyword_checks.MAX_PROPERTIES + 1)]},
    "patternProperties": {"patternProperties": {f"^{i}$": True for i in range(31)}},
    "patterns": {"anyOf": [{"pattern": str(i)} for i in range(keyword_checks.MAX_PATTERNS + 1)]},
    "values": {"anyOf": [{"enum": list(range(5001))}, {"enum": list(range(5000))}]},
    "merged references": doubling(30),
    "merged alternatives": {"allOf": [{"anyOf": [{"pattern": f"{i}{j}"} for i in range(10)]} for j in range(5)]},
    "merged enums": {"allOf": [{"enum": list(range(500))}, {"enum": list(range(500))}]},
    "merged divisors": {"allOf": [{"multipleOf": 997}, {"multipleOf": 991}]},
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_too_large(case: str) -> None:
    """Each of them takes llguidance seconds, or gigabytes, or ends the process."""
    refused(TOO_LARGE[case])
    refused(TOO_LARGE[case], strict=False)


LARGE: dict[str, Any] = {
    "enum": {"enum": [f"value {i}" for i in range(keyword_checks.MAX_VALUES)]},
    "properties": {
        "type": "object",
        "properties": {f"p{i}": STRING for i in range(keyword_checks.MAX_PROPERTIES)},
        "required": [f"p{i}" for i in range(keyword_checks.MAX_OPTIONAL_PROPERTIES, keyword_checks.MAX_PROPERTIES)],
    },
    "counted properties": {
        "type": "object",
        "properties": {f"p{i}": STRING for i in range(keyword_checks.MAX_COUNTED_PROPERTIES)},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
    "references": chain(schema_walk.MAX_DEPTH // 2 - 10, description="x"),
    "nested": json.loads('{"items":' * 60 + "{}" + "}" * 60),
    "unions": {
        "$ref": "#/$defs/n0",
        "$defs": {
            f"n{i}": {
                "type": "object",
                "properties": {
                    "kind": {"const": i},
                    **{f"p{j}": {"anyOf": [{"$ref": f"#/$defs/n{k}"} for k in range(30)]} for j in range(4)},
                },
                "required": ["kind"],
            }
            for i in range(30)
        },
    },
    "counts": {"type": "array", "items": {**STRING, "maxLength": 10**12}, "maxItems": 10**12},
    "patterns": {"type": "array", "prefixItems": [{**STRING, "pattern": f"^{i}[a-z]{{1,99}}$"} for i in range(200)]},
    "divisor": {"type": "integer", "multipleOf": 9973},
    "bounds": {"type": "integer", "minimum": -(10**18), "maximum": 10**18},
}


@pytest.mark.parametrize("case", LARGE)
def test_large_enough(case: str) -> None:
    """To be compiled, and to be begun."""
    matcher = compiled(rule(LARGE[case])).deep_copy()
    for _ in range(3):
        if tokens := allowed(matcher):
            matcher.consume_token(tokens[0])
        assert not matcher.is_error(), matcher.get_error()
