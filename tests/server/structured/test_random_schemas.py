"""Whatever a grammar lets through matches its schema, by the `jsonschema` package, and is compact."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import jsonschema
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.errors import APIError
from server.structured.json_schema import json_rule
from server.structured.place import Place

from .matching import compiled, walk
from .schema_strategy import SCHEMAS

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, st.integers(0, 2**32), st.booleans())
def test_outputs_match(schema: dict[str, Any], seed: int, strict: bool) -> None:
    rule = json_rule(schema, Place("schema"), strict=strict)
    assume(_can_be_matched(rule))
    text = walk(rule, seed)
    if text is not None:
        _check(schema, text)


def _can_be_matched(rule: str) -> bool:
    try:
        compiled(rule)
    except ValueError as error:
        reason = str(error)
    else:
        return True
    # the last: a recursive schema merged with one that recurs in the same place
    assert re.search("nsatisfiable|not disjoint|intersection stack level", reason), reason
    return False


def _check(schema: dict[str, Any], text: str) -> None:
    jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)
    assert not re.search(r"\s", _STRING.sub("", text)), text


KEYWORDS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "enum", "const", "required", "pattern", "format",
     "minLength", "maxItems", "minimum", "multipleOf", "additionalProperties", "patternProperties", "prefixItems",
     "minProperties", "$defs", "not", "$schema", "$id", "x-guidance", "a"]
)  # fmt: skip
GARBAGE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["string", "object", "#", "#/$defs/a", "#/properties/a", "^a", "(", "date", "a"]),
        st.text(max_size=3),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYWORDS, inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(GARBAGE, st.booleans())
def test_garbage_is_refused_or_compiles(schema: Any, strict: bool) -> None:
    """And nothing else happens, though llguidance may still find that nothing can match."""
    try:
        rule = json_rule(schema, Place("schema"), strict=strict)
    except APIError:
        return
    with suppress(ValueError):
        compiled(rule)
