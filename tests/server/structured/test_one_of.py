"""`oneOf`: as `anyOf` where no two can match the same, else refused."""

from __future__ import annotations

from typing import Any

import pytest

from .matching import compiled
from .schema_rules import INTEGER, STRING, at, refused, rule


def of_kind(kind: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"kind": kind, **more}, "required": ["kind"]}


CAT, DOG = of_kind({"const": "cat"}, lives=INTEGER), of_kind({"type": "string", "enum": ["dog", "wolf"]})

DISJOINT: dict[str, list[Any]] = {
    "types": [STRING, INTEGER, {"type": ["array", "null"]}],
    "values": [{"const": 1}, {"enum": [2, "1", True]}],
    "kinds": [CAT, DOG],
    "references": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
    "nested unions": [{"anyOf": [{"$ref": "#/$defs/cat"}, STRING]}, {"$ref": "#/$defs/dog"}],
    "intersections": [{"allOf": [{"$ref": "#/$defs/cat"}, {"required": ["lives"]}]}, DOG],
    "closed objects": [{**CAT, "additionalProperties": False}, {"type": "object", "required": ["name"]}],
}
OVERLAPPING: dict[str, list[Any]] = {
    "numbers": [{"type": "number"}, INTEGER],
    "untyped": [{"minimum": 1}, {"maximum": 1}],
    "equal values": [{"const": 1}, {"const": 1.0}],
    "not required": [{**CAT, "required": []}, {**DOG, "required": []}],
    "not objects": [{"properties": CAT["properties"], "required": ["kind"]}, {"properties": DOG["properties"]}],
    "the same": [CAT, CAT],
    "anything": [True, CAT],
    "themselves": [{"$ref": "#/$defs/loop"}, CAT],
}
DEFINED = {"cat": CAT, "dog": DOG, "loop": {"$ref": "#/$defs/loop"}}


@pytest.mark.parametrize("case", DISJOINT)
def test_one_of_disjoint_schemas(case: str) -> None:
    compiled(rule({"oneOf": DISJOINT[case], "$defs": DEFINED}))


@pytest.mark.parametrize("case", OVERLAPPING)
def test_one_of_schemas_that_may_overlap(case: str) -> None:
    error = refused({"oneOf": OVERLAPPING[case], "$defs": DEFINED})
    assert at(error) == "oneOf" and "anyOf" in error.message
    if case == "themselves":
        assert at(refused({"oneOf": OVERLAPPING[case], "$defs": DEFINED}, strict=False)) == "$defs.loop"
    else:
        rule({"oneOf": OVERLAPPING[case], "$defs": DEFINED}, strict=False)


def test_many_questions_about_one_of() -> None:
    tree: dict[str, Any] = {"$ref": "#/$defs/d0", "$defs": {}}
    for i in range(8):
        tree["$defs"][f"d{i}"] = {"oneOf": [{"items": {"$ref": f"#/$defs/d{i + 1}"}}] * 50}
    tree["$defs"]["d8"] = {}
    assert "oneOf" in at(refused(tree))
