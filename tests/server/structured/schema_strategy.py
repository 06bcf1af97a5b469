"""JSON schemas at random, of what can be enforced."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "name", "x y", "é", 'quo"te'])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-1000, 1000), st.sampled_from(["", "red", "a\nb", "🦙", 0.5, -1.25])
)
Schemas = st.SearchStrategy[dict[str, Any]]


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    match draw(st.integers(0, 4)):
        case 1:
            low = draw(st.integers(0, 3))
            schema |= {"minLength": low, "maxLength": low + draw(st.integers(0, 5))}
        case 2:
            schema["pattern"] = draw(st.sampled_from(["^[a-z]{1,8}$", "^\\d+-\\w*$", "x", "^(yes|no)$", "^[^é]{2}$"]))
        case 3:
            schema["format"] = draw(st.sampled_from(["date", "date-time", "time", "ipv4", "uuid", "email"]))
    return schema


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    match draw(st.integers(0, 3)):
        case 1:
            low = draw(st.integers(-100, 100))
            schema |= {"minimum": low, "maximum": low + draw(st.integers(0, 1000))}
        case 2:
            schema["exclusiveMinimum"] = draw(st.integers(-5, 5))
        case 3:
            schema["multipleOf"] = draw(st.sampled_from([2, 7, 10]))
    return schema


SIMPLE: Schemas = st.one_of(
    strings(),
    numbers(),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"type": ["string", "integer", "null"]}),
    st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": values}),
    VALUES.map(lambda value: {"const": value}),
    st.just({"const": {"k": [1, "v"]}}),
    st.just({"$ref": "#/$defs/color"}),
)


@st.composite
def objects(draw: st.DrawFn, inner: Schemas) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=3))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = [name for name in properties if draw(st.booleans())]
    match draw(st.integers(0, 4)):
        case 1:
            schema["additionalProperties"] = False
        case 2:
            schema["additionalProperties"] = draw(inner)
        case 3:
            schema |= {"patternProperties": {"^p": draw(inner)}, "additionalProperties": False}
        case 4:
            schema["properties"]["next"] = {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
    return schema


@st.composite
def arrays(draw: st.DrawFn, inner: Schemas) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": draw(inner)}
    match draw(st.integers(0, 2)):
        case 1:
            low = draw(st.integers(0, 2))
            schema |= {"minItems": low, "maxItems": low + draw(st.integers(0, 2))}
        case 2:
            schema |= {"prefixItems": draw(st.lists(inner, min_size=1, max_size=2)), "items": draw(st.booleans())}
    return schema


@st.composite
def unions(draw: st.DrawFn, inner: Schemas) -> dict[str, Any]:
    match draw(st.integers(0, 2)):
        case 0:
            return {"anyOf": draw(st.lists(inner, min_size=1, max_size=3))}
        case 1:
            kinds = draw(st.lists(st.dictionaries(NAMES, inner, max_size=2), min_size=2, max_size=3))
            branches = [
                {"type": "object", "properties": {"kind": {"const": f"k{i}"}, **more}, "required": ["kind"]}
                for i, more in enumerate(kinds)
            ]
            return {"oneOf": branches, "discriminator": {"propertyName": "kind"}}
    return {"allOf": [draw(objects(inner)), draw(objects(inner))]}


DEFINITIONS = {
    "color": {"enum": ["red", "green"], "description": "a color"},
    "node": {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["value", "next"],
    },
}

SCHEMAS: Schemas = st.recursive(
    SIMPLE, lambda inner: st.one_of(objects(inner), arrays(inner), unions(inner)), max_leaves=6
).map(lambda schema: {**schema, "$defs": DEFINITIONS})
