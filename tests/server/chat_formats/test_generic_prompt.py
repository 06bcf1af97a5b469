"""Conversations with tools, for templates that know none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.chat.formats.generic_prompt import with_tools
from tests.server.chat_formats.parsing import message
from tests.server.chat_formats.writers import BY_NAME

TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": {}}}
CALLS = [
    {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'}},
    {"id": "2", "type": "function", "function": {"name": "get_time", "arguments": ""}},
]
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather and time?"},
    {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "noon"}]},
    {"role": "assistant", "content": "Sunny, noon."},
]


def test_the_tools_are_described_in_the_system_prompt() -> None:
    system, ask = with_tools([{"role": "system", "content": "Be kind."}, TURNS[0]], [TOOL])
    assert system["role"] == "system" and system["content"].startswith("Be kind.\n\n")
    assert json.dumps(TOOL["function"]) in system["content"]
    assert ask == TURNS[0]


def test_without_a_system_prompt() -> None:
    assert with_tools(TURNS[:1], [TOOL])[0]["role"] == "system"
    assert with_tools([], [TOOL])[0]["role"] == "system"


@pytest.mark.parametrize("first", [[], [{"role": "system", "content": "Be kind."}]])
def test_for_templates_without_system_messages(first: list[dict[str, Any]]) -> None:
    found = with_tools([*first, *TURNS], [TOOL], system_role=False)
    assert [turn["role"] for turn in found] == ["user", "assistant", "user", "assistant"]
    assert found[0]["content"].endswith("\n\nWeather and time?")
    assert ("Be kind." in found[0]["content"]) == bool(first)


def test_calls_and_results_become_messages() -> None:
    _, ask, calls, results, answer = with_tools(TURNS, [TOOL])
    assert ask == TURNS[0] and answer == TURNS[4]
    assert results["role"] == "user"
    assert results["content"] == ("<tool_response>\nsunny\n</tool_response>\n<tool_response>\nnoon\n</tool_response>")
    read = message(BY_NAME["generic"], calls["content"])
    assert read.content == "Let me see."
    assert [(call.name, call.arguments) for call in read.calls] == [
        ("get_weather", '{"city": "Köln"}'),
        ("get_time", "{}"),
    ]


def test_deprecated_calls() -> None:
    turns = [
        TURNS[0],
        {"role": "assistant", "content": None, "function_call": CALLS[0]["function"]},
        {"role": "function", "name": "get_weather", "content": "sunny"},
    ]
    _, _, call, result = with_tools(turns, [TOOL])
    assert message(BY_NAME["generic"], call["content"]).calls[0].arguments == '{"city": "Köln"}'
    assert "sunny" in result["content"]
