"""Tools and choices of tools that are refused, with the field that is to blame."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.routes.client import chat, error
from tests.server.routes.tool_chats import TIME, WEATHER, lark, talking


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def allowed(*tools: Any, mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


BACKWARDS = {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "(?<=a)b"}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice.function.name",
        ),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "custom", "custom": {"name": "get_weather"}}},
            "tool_choice.custom.name",
        ),
        ({"tools": [WEATHER], "tool_choice": allowed()}, "tool_choice.allowed_tools.tools"),
        ({"tools": [WEATHER], "tool_choice": allowed(WEATHER, TIME)}, "tool_choice.allowed_tools.tools[1]"),
        ({"tools": [WEATHER], "tool_choice": allowed({"type": ["x"]})}, "tool_choice.allowed_tools.tools[0]"),
        (
            {"tools": [WEATHER], "tool_choice": allowed({"type": "function", "function": 5})},
            "tool_choice.allowed_tools.tools[0]",
        ),
        ({"tools": [WEATHER, function("f"), WEATHER]}, "tools[2].function.name"),
        ({"tools": [function("a b")]}, "tools[0].function.name"),
        ({"tools": [function("")]}, "tools[0].function.name"),
        ({"tools": [function("x" * 65)]}, "tools[0].function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "ü"}}]}, "tools[0].custom.name"),
        ({"tools": [lark("c", "start: nowhere")]}, "tools[0].custom.format.grammar.definition"),
        ({"tools": [lark(f"c{n}", 'start: "a" //' + "x" * 40_000) for n in range(2)]}, "tools"),
        ({"tools": [function(f"f{n}") for n in range(1025)]}, "tools"),
        ({"tools": [function("f", parameters={"x": "y" * 300_000})]}, "tools[0].function.parameters"),
        ({"tools": [function("f", parameters={"properties": 5})]}, "tools[0].function.parameters.properties"),
        ({"tools": [function(f"f{n}", parameters={"x": "y" * 250_000}) for n in range(20)]}, "tools"),
        (
            {"tools": [function("f", strict=True, parameters={"properties": {"a": {"not": {}}}})]},
            "tools[0].function.parameters.properties.a.not",
        ),
        ({"tools": [{"type": "custom", "custom": BACKWARDS}]}, "tools[0].custom.format.grammar.definition"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1].name"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call.name"),
        ({"function_call": {"name": "g"}}, "function_call"),
        ({"functions": [{"name": "f"}], "tools": [WEATHER]}, "functions"),
    ],
)
async def test_refused(fields: dict[str, Any], param: str) -> None:
    state, backend = talking("never")
    response = await chat(state, **fields)
    assert (response.status_code, error(response)["param"]) == (400, param)
    assert not backend.requests
