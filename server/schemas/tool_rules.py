"""What a request's tools, and the choice among them, mean to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.errors import invalid
from server.schemas.conversation import ConversationFields
from server.schemas.tools import (
    AllowedToolsChoice,
    CustomChoice,
    CustomTool,
    FunctionChoice,
    Tool,
    ToolName,
)

Kinds = dict[str, str]
"""The names of the tools there are, each with its `type`."""


def check_tools(request: ConversationFields) -> None:
    """Raises a 400 for tools and choices that don't go together."""
    if request.functions and request.tools:
        raise invalid("'functions' and 'tools' exclude each other; 'functions' is deprecated.", "functions")
    kinds = _kinds(request.tools or ())
    _check_choice(request, kinds)
    _check_functions(request)


def _kinds(tools: Sequence[Tool]) -> Kinds:
    kinds: Kinds = {}
    for position, tool in enumerate(tools):
        name = name_of(tool)
        if name in kinds:
            raise invalid(f"There are two tools named '{name}'.", f"tools[{position}].{tool.type}.name")
        kinds[name] = tool.type
    return kinds


def name_of(tool: Tool) -> str:
    return tool.custom.name if isinstance(tool, CustomTool) else tool.function.name


def _check_choice(request: ConversationFields, kinds: Kinds) -> None:
    choice = request.tool_choice
    if choice in (None, "none", "auto"):
        return
    if not kinds:
        raise invalid("'tool_choice' is only allowed when 'tools' are given.", "tool_choice")
    match choice:
        case FunctionChoice(function=ToolName(name=name)):
            _check_known(kinds, "function", name, "tool_choice.function.name")
        case CustomChoice(custom=ToolName(name=name)):
            _check_known(kinds, "custom", name, "tool_choice.custom.name")
        case AllowedToolsChoice(allowed_tools=allowed):
            if not allowed.tools:
                raise invalid("'allowed_tools' must name at least one tool.", "tool_choice.allowed_tools.tools")
            for position, (kind, name) in enumerate(allowed_names(allowed.tools)):
                _check_known(kinds, kind, name, f"tool_choice.allowed_tools.tools[{position}]")


def allowed_names(tools: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """Types and names, whatever they are: nothing has checked these objects."""
    for tool in tools:
        kind = tool.get("type")
        inner = tool.get(kind) if isinstance(kind, str) else None
        yield kind, inner.get("name") if isinstance(inner, dict) else None


def _check_known(kinds: Kinds, kind: object, name: object, param: str) -> None:
    if not isinstance(name, str) or kinds.get(name) != kind:
        raise invalid(f"There is no {kind} tool named {str(name)[:80]!r} among the 'tools'.", param)


def _check_functions(request: ConversationFields) -> None:
    names = [function.name for function in request.functions or ()]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise invalid(f"There are two functions named '{name}'.", f"functions[{position}].name")
    choice = request.function_call
    if choice in (None, "none", "auto"):
        return
    if not names:
        raise invalid("'function_call' is only allowed when 'functions' are given.", "function_call")
    if isinstance(choice, ToolName) and choice.name not in names:
        message = f"There is no function named {choice.name[:80]!r} among the 'functions'."
        raise invalid(message, "function_call.name")
