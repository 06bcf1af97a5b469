"""Custom tools as functions of one text."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.formats.custom import CustomInput, custom_tool


@given(st.text(), st.booleans(), st.lists(st.integers(0, 60), max_size=6))
def test_the_input_comes_as_it_is_written(text: str, ascii: bool, cuts: list[int]) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii)
    at = [0, *sorted(cuts), len(arguments)]
    found = CustomInput()
    assert "".join(found.feed(arguments[start:end]) for start, end in pairwise(at)) == text


def test_it_streams() -> None:
    found = CustomInput()
    assert [found.feed(piece) for piece in ['{"inp', 'ut": "a', "b\\", 'n\\ud83e\\udd99"', "}"]] == [
        "",
        "a",
        "b",
        "\n🦙",
        "",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"), [("{}", ""), ('{"other": 1}', ""), ('{"input": 3}', ""), ('{"input": "a', "a")]
)
def test_arguments_without_input(arguments: str, text: str) -> None:
    found = CustomInput()
    assert found.feed(arguments) + found.feed("more") in (text, text + "more")


def test_half_a_character_is_replaced() -> None:
    assert CustomInput().feed('{"input": "\\ud83ex\\udd99"}') == "\ufffdx\ufffd"


def test_patterns() -> None:
    assert custom_tool("run").parameters == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    pattern = custom_tool("run", "[a-z]+|x").parameters
    assert pattern is not None and pattern["properties"]["input"]["pattern"] == "^(?:[a-z]+|x)$"
