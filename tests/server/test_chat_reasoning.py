"""How templates are told to think, and calls of earlier turns."""

from __future__ import annotations

from typing import Any

import pytest

from server.chat.calls import as_function_calls
from server.chat.reasoning import reasoning_variables

ON = {"enable_thinking": True, "thinking": True, "thinking_mode": "enabled"}
OFF = {"enable_thinking": False, "thinking": False, "thinking_mode": "disabled", "thinking_budget": 0}


@pytest.mark.parametrize(
    ("source", "effort", "thinking", "budget", "expected"),
    [
        ("", None, None, None, {}),
        ("", "high", None, None, {**ON, "reasoning_effort": "high"}),
        ("", "none", None, None, OFF),
        ("reasoning_effort == 'none'", "none", None, None, {**OFF, "reasoning_effort": "none"}),
        ('reasoning_effort in ["high", "no_think"]', "none", None, None, {**OFF, "reasoning_effort": "no_think"}),
        ("", None, True, None, ON),
        ("", None, False, 9, OFF),
        ("", "none", True, None, ON),
        ("", "low", False, None, OFF),
        ("", None, None, 100, {"thinking_budget": 100}),
    ],
)
def test_variables(source: str, effort: Any, thinking: Any, budget: Any, expected: dict[str, Any]) -> None:
    assert reasoning_variables(source, effort, thinking, budget) == expected


def test_old_and_custom_calls_are_function_calls() -> None:
    user = {"role": "user", "content": "hi"}
    ordinary = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    custom = {"id": "2", "type": "custom", "custom": {"name": "g", "input": "é"}}
    found = as_function_calls(
        [
            user,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": None},
            {"role": "assistant", "tool_calls": [ordinary, custom]},
        ]
    )
    assert found == [
        user,
        {"role": "assistant", "content": None, "tool_calls": [{**ordinary, "id": "call00001"}]},
        {"role": "tool", "name": "f", "content": "", "tool_call_id": "call00001"},
        {
            "role": "assistant",
            "tool_calls": [
                ordinary,
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": '{"input": "é"}'}},
            ],
        },
    ]
