"""Text that a grammar leaves no choice about is bounded, whichever way the grammar is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.errors import APIError
from server.structured.gbnf import gbnf_rule
from server.structured.json_schema import json_rule
from server.structured.lark import lark_rule
from server.structured.place import Place
from server.structured.regex import check_regex
from server.structured.shortest import MAX_LENGTH, MAX_PIECES, Either, Rule, Run, Shape, Text, Times, TooLong
from server.structured.shortest import check_shortest as check

from .matching import compiled

A = Text(1)
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    "rules",
    [
        {"r": Text(MAX_LENGTH)},
        {"r": Times(Text(1, free=True), MAX_LENGTH)},
        {"r": Either((A, Run((A, Rule("r")))))},
        {"r": Run((A, Rule("s"))), "s": Either((Run((A, Rule("r"))), A))},
        {"r": Times(A, MAX_PIECES)},
        {"r": Times(Run((Rule("free"), A)), 2 * MAX_PIECES), "free": Either((Text(1, free=True),))},
        {"r": Times(Rule("r"), 0)},
        {"r": Run((Text(2000), Rule("s"))), "s": Either((A, Run((Text(2000), Rule("s"), Text(1000)))))},
        {"r": Either((A, Run((Rule("r"), Text(2000), Text(1, free=True)))))},
        {f"r{i}": Rule(f"r{i + 1}") for i in range(500)} | {"r500": A},
        {f"r{i}": Either((Rule(f"r{i + 1}"), Rule(f"r{max(0, i - 50)}"))) for i in range(500)} | {"r500": A},
        {"r": Either(tuple(Rule(f"r{i}") for i in range(50)))}
        | {f"r{i}": Either((Run((A, Rule("r"))), Run((A, Rule(f"r{(i + 1) % 50}"))), A)) for i in range(50)},
    ],
)
def test_short_enough(rules: dict[Any, Shape]) -> None:
    check(rules)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"r": Text(MAX_LENGTH + 1)}, "65537 characters"),
        ({"r": Times(Text(2, free=True), MAX_LENGTH)}, "131072 characters"),
        ({"r": Rule("r")}, "never ends"),
        ({"r": Run((A, Rule("s"))), "s": Run((A, Rule("r")))}, "never ends"),
        ({"r": Either((A, Rule("s"))), "s": Run((A, Rule("s")))}, "never ends"),
        ({"r": Times(Either((A, Text(MAX_LENGTH + 1))), 0)}, "characters"),
        ({"r": Times(A, MAX_PIECES + 1)}, "parts"),
        ({"r": Either((A, Run((A, Rule("r"), Text(2000)))))}, "behind"),
        ({"r": Either((A, Run((A, Rule("s"), A)))), "s": Run((Times(Rule("r"), 1), Times(A, 1025)))}, "behind"),
        ({f"r{i}": Run((Rule(f"r{i + 1}"),) * 2) for i in range(60)} | {"r60": A}, "parts|characters"),
    ],
)
def test_too_long(rules: dict[Any, Shape], reason: str) -> None:
    with pytest.raises(TooLong, match=reason):
        check(rules)


DOUBLING = {
    "gbnf": "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(22)) + '\nr22 ::= "a"',
    "lark": "start: r0\n" + "\n".join(f"r{i}: r{i + 1} r{i + 1}" for i in range(22)) + '\nr22: "a"',
}


@pytest.mark.parametrize(
    "grammar",
    [
        DOUBLING["gbnf"],
        'root ::= (("a"{1000}){1000}){1000}',
        'root ::= "x" | y\ny ::= "b" y',
        'root ::= "x" | (("a" [b]){200}){200}',
        'root ::= "(" root ")"',
    ],
)
def test_gbnf(grammar: str) -> None:
    with pytest.raises(APIError, match="has a rule") as caught:
        gbnf_rule(grammar, Place("grammar"))
    assert (caught.value.status, caught.value.param) == (400, "grammar")


@pytest.mark.parametrize(
    "grammar",
    [
        DOUBLING["lark"],
        DOUBLING["lark"].replace("r", "R").replace("staRt", "start"),
        'start: a{9999}\na: "x" b{9999}\nb: "y"',
        "start: a~9999\na: /b{10000}/",
        'start: "x" | y\ny: "b" y',
        'start[stop="a"]: T\nT: U{900}\nU: "xyz"{900}',
        "%import common.LF\nstart: (LF{200}){200}",
    ],
)
def test_lark(grammar: str) -> None:
    with pytest.raises(APIError, match="has a rule") as caught:
        lark_rule(grammar, Place("grammar"))
    assert (caught.value.status, caught.value.param) == (400, "grammar")


def array(items: Any, least: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


SCHEMAS: dict[str, Any] = {
    "": array({"const": "a" * 60_000}, 1000),
    ".items": array(array({"const": "a"}, 6000), 1),
    " ": array(array(array({"type": "integer"}, 40), 40), 40),
    ".$defs.a16": {"$ref": "#/$defs/a0", "$defs": {f"a{i}": array({"$ref": f"#/$defs/a{i + 1}"}, 2) for i in range(30)}
           | {"a30": {"type": "integer"}}},
    ".minItems": array({"const": 1}, MAX_LENGTH + 1),
    ".minLength": {"type": "string", "minLength": 1_000_000},
    ".minProperties": {"type": "object", "minProperties": 1_000_000},
    "   ": {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    ".properties.a": {"properties": {"a": array({"$ref": "#/properties/a"}, 1)}},
    ".anyOf[1]": {"anyOf": [{"type": "null"}, array({"const": "abc"}, 60_000)]},
    "    ": {"type": "array", "prefixItems": [True], "items": {"const": "a" * 100}, "minItems": 1000},
    "     ": array({"type": "string", "pattern": "^(a{9999})*$", "minLength": 1}, 100),
    "      ": array({"type": "string", "pattern": "^(a{3000}|b{3000})?c{3000}$"}, 100),
    "       ": array({"enum": ["a" * 1000, "b" * 1000]}, 100),
    "        ": {"type": "object", "patternProperties": {"^a$": {"const": "b" * 1000}}, "additionalProperties": False,
                 "minProperties": 1000},
    "         ": {"allOf": [array(array({"const": "a" * 9}, 0), 900), {"type": "array", "items": array(True, 900)}]},
}  # fmt: skip


@pytest.mark.parametrize("path", SCHEMAS)
@pytest.mark.parametrize("strict", [True, False])
def test_schemas(path: str, strict: bool) -> None:
    with pytest.raises(APIError) as caught:
        json_rule(SCHEMAS[path], Place("schema"), strict=strict)
    assert (caught.value.status, caught.value.param) == (400, "schema" + path.strip())


def chain(*required: str, **properties: Any) -> dict[str, Any]:
    following = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    own = {name: value or following for name, value in properties.items()}
    return {"type": "object", "properties": own, "required": list(required)}


LONG = {"const": "a" * 2000}


@pytest.mark.parametrize("schema", [chain("a", next=None, a=LONG), chain("a", "next", next=None, a=LONG, b=INTEGER)])
def test_what_closes_objects_in_each_other(schema: Any) -> None:
    """All of it at once, as often as they were opened."""
    with pytest.raises(APIError, match="behind each time that it leads to itself") as caught:
        json_rule(schema, Place("schema"), strict=True)
    assert caught.value.param == "schema"


@pytest.mark.parametrize(
    "schema",
    [chain("a", "next", a=LONG, next=None), chain("a", "b", next=None, a=LONG, b=INTEGER), chain(next=None, a=LONG)],
)
def test_what_is_long_elsewhere(schema: Any) -> None:
    compiled(json_rule(schema, Place("schema"), strict=True))


ORDINARY: dict[str, Any] = {
    "numbers": array({"type": "number"}, 10_000),
    "a matrix": array(array({"type": "integer"}, 100), 100),
    "rows": array({"type": "object", "properties": {f"p{i}": INTEGER for i in range(10)}, "required": ["p0"]}, 500),
    "kinds": array({"type": "string", "enum": ["a", "b"]}, 5000),
    "a tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
               "required": ["children"]},
    "a list": {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "required": ["next"], "properties": {
        "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}}},
    "inheritance": {"anyOf": [
        {"allOf": [
            {"$ref": "#/$defs/base"},
            {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "const": f"kind {i}"}}},
        ]}
        for i in range(50)
    ], "$defs": {"base": {"type": "object", "required": ["name", "tags"], "properties": {
        "name": {"type": "string", "minLength": 1}, "tags": {"type": "array", "items": True, "minItems": 3}}}}},
    "typed literals": {"type": "object", "required": [f"p{i}" for i in range(900)], "properties": {
        f"p{i}": {"type": "string", "enum": [f"value {i}", "none"]} for i in range(900)}},
    "a long text": {"type": "string", "minLength": 1000, "pattern": "^[a-z ]*$"},
}  # fmt: skip


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_schemas(case: str) -> None:
    compiled(json_rule(ORDINARY[case], Place("schema"), strict=True))


@pytest.mark.parametrize(
    ("pattern", "shortest"),
    [
        ("abc", 3), ("a|bc", 1), ("abc|", 0), ("a?b*c+", 1), ("a{3}b{2,5}c{,4}", 5), ("(ab|c{3}){10}", 20),
        ("a{5}?", 5), ("a{5}??", 0), ("a+?", 1), ("(a{9}){9}", 81), ("^a$^*", 1), ("(?i)ab", 2), ("(a{10})$*", 10),
        ("[abc]{7}", 7), ("[[a]?|&&a]{10}", 14), (r"\d{4}-\d\d", 7), ("(?:a|(b|)){5}", 0), (r"[\]a]{3}", 3),
    ],
)  # fmt: skip
def test_regular_expressions(pattern: str, shortest: int) -> None:
    assert check_regex(pattern, Place("pattern")).shortest == shortest


def test_what_is_refused_is_short() -> None:
    """A schema of a few hundred bytes."""
    assert all(len(json.dumps(schema)) < 3000 for path, schema in SCHEMAS.items() if path)
