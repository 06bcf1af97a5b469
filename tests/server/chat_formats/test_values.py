"""JSON, Python's literals and typed text as JSON, as they stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.formats import json_text, python_literal
from server.chat.formats.json_string import escaped
from server.chat.formats.object_writer import ObjectWriter
from server.chat.formats.reader import Reader, Steps, Write, transcribed
from server.chat.formats.tools import Tool
from server.chat.formats.typed_text import as_json

Read = Callable[[Reader, Write], Steps[None]]

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(values, st.sampled_from([None, 0, 2]), st.booleans())
def test_json_is_copied(value: Any, indent: int | None, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    assert transcribed(text, json_text.read_value) == text


@given(values)
def test_python_becomes_json(value: Any) -> None:
    written = transcribed(repr(value), python_literal.read_value)
    assert written is not None
    assert json.loads(written) == value


@given(st.text(max_size=30))
def test_what_is_written_is_json_or_nothing(text: str) -> None:
    reads: list[Read] = [json_text.read_value, python_literal.read_value]
    for read in reads:
        written = transcribed(text, read)
        if written is not None:
            json.loads(written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-0.5e+3", -500.0),
        ("01", None),
        ("1.", None),
        ("+1", None),
        ("nul", None),
        ("True", True),
        ('{"a": 1 "b": 2}', None),
        ('{"a" 1}', None),
        ("{a: 1}", None),
        ("[1 2]", None),
        ("[,]", None),
        ('{"a": [1, 2,], }', {"a": [1, 2]}),
        ('"\\u00e9\\n"', "é\n"),
        ('"\\u00g9"', None),
        ('"open', None),
        ('"a\tb\x00"', "a\tb\x00"),
        ('"\\w"', "\\w"),
        ("[" * 200 + "]" * 200, None),
        ("", None),
    ],
)
def test_json_and_what_passes_for_it(text: str, expected: Any) -> None:
    written = transcribed(text, json_text.read_value)
    assert (None if written is None else json.loads(written)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x_f", None),
        ("0b101", 5),
        ("1_000.5_0", 1000.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("+3", 3),
        ("-", None),
        ("1e5", 1e5),
        ("'\\ud83e\\udd99'", "🦙"),
        ("'\\x4'", None),
        ("'a\\\nb'", "ab"),
        ("(1,)", [1]),
        ("()", []),
        ("{'a': (1, 2), }", {"a": [1, 2]}),
        ("{1: 2}", None),
        ("{'a'}", None),
        ("f(1)", None),
        ("9" * 5000, ...),
    ],
)
def test_python_literals(text: str, expected: Any) -> None:
    written = transcribed(text, python_literal.read_value)
    if expected is ...:
        assert written == text
    else:
        assert (None if written is None else json.loads(written)) == expected


@pytest.mark.parametrize(
    ("text", "schema", "expected"),
    [
        ("2", {"type": "integer"}, 2),
        ("2.0", {"type": "integer"}, 2),
        ("2.5", {"type": "integer"}, "2.5"),
        ("2.5", {"type": "number"}, 2.5),
        ("True", {"type": "boolean"}, True),
        ("yes", {"type": "boolean"}, "yes"),
        ("2", {"type": "string"}, "2"),
        ('"a"', {"type": "string"}, '"a"'),
        ('"a"', {"type": ["string", "integer"]}, '"a"'),
        ("2", {"type": ["string", "integer"]}, 2),
        ("two", {"type": ["string", "integer"]}, "two"),
        ("null", {"type": ["string", "null"]}, None),
        ("None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("{'a': True}", {"properties": {}}, {"a": True}),
        ("[1]", {"items": {}}, [1]),
        ("[1", {"type": "array"}, "[1"),
        ("1", {"enum": ["1", "2"]}, "1"),
        ("1", {"enum": [1, 2]}, 1),
        ("1", {"const": "1"}, "1"),
        ("1", {"oneOf": [{"type": "string"}]}, "1"),
        ("null", {"type": "integer", "nullable": True}, None),
        ("1", {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "1"),
        ("1", {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, 1),
        ("1", {}, 1),
        ("some text", {}, "some text"),
        ("[1, 2", None, "[1, 2"),
        ("", {"type": "string"}, ""),
        ("", {"type": "integer"}, ""),
        ("9" * 5000, {"type": "string"}, "9" * 5000),
    ],
)  # fmt: skip
def test_text_by_its_schema(text: str, schema: dict[str, Any] | None, expected: Any) -> None:
    parameters = {"properties": {"a": schema}, "$defs": (schema or {}).pop("$defs", {})}
    assert json.loads(as_json(text, Tool("f", parameters).types("a"))) == expected


def test_half_characters_are_escaped() -> None:
    assert escaped('a"\n\ud83e') == 'a\\"\\n\\ud83e'


def test_objects_member_by_member() -> None:
    parts: list[str] = []
    writer = ObjectWriter(parts.append)
    writer.key('a"b')
    writer.write("1")
    writer.key("c")
    writer.write('"')
    writer.text("x\n")
    writer.write('"')
    writer.close()
    assert json.loads("".join(parts)) == {'a"b': 1, "c": "x\n"}
    ObjectWriter(parts.append).close()
    assert parts[-1] == "{}"
