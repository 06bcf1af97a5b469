"""A request's tools, all together."""

from __future__ import annotations

from typing import Any

import pytest

from server import toolset as toolset_module
from server.errors import APIError
from server.limits import SCHEMA_SIZE
from server.schemas.chat import ChatCompletionRequest
from server.schemas.validation import validate
from server.toolset import MAX_ALL_TEXT, toolset


def request(**fields: Any) -> ChatCompletionRequest:
    return validate(ChatCompletionRequest, {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})


def parameters(n: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "description": "x" * n}}}


def test_large_tools() -> None:
    tools = [
        {"type": "function", "function": {"name": f"f{i}", "parameters": parameters(SCHEMA_SIZE - 200)}}
        for i in range(3)
    ]
    assert len(toolset(request(tools=tools)).callable) == 3


@pytest.mark.parametrize("kind", ["tools", "functions", "custom tools"])
def test_all_schemas_together_are_bounded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any of them is looked at."""
    functions = [{"name": f"f{i}", "parameters": parameters(SCHEMA_SIZE - 200)} for i in range(5)]
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a" * 16_384}}
    tools: dict[str, dict[str, Any]] = {
        "tools": {"tools": [{"type": "function", "function": function} for function in functions]},
        "functions": {"functions": functions},
        "custom tools": {
            "tools": [{"type": "custom", "custom": {"name": f"c{i}", "format": grammar}} for i in range(65)]
        },
    }
    asked = request(**tools[kind])
    monkeypatch.setattr(toolset_module, "_defined", lambda _: pytest.fail("looked at"))
    with pytest.raises(APIError, match=str(MAX_ALL_TEXT)) as caught:
        toolset(asked)
    assert caught.value.param == ("functions" if kind == "functions" else "tools")
