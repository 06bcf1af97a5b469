"""A request's tools: as its chat template describes them, and as the model's format knows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from server.chat.formats.custom import ARGUMENT, custom_tool
from server.chat.formats.tools import Tool, ToolChoice
from server.limits import SCHEMA_SIZE
from server.schemas.conversation import ConversationFields
from server.schemas.tool_rules import allowed_names
from server.schemas.tools import (
    AllowedToolsChoice,
    CustomChoice,
    CustomTool,
    CustomToolDefinition,
    FunctionChoice,
    FunctionDefinition,
    FunctionTool,
    Grammar,
    GrammarToolFormat,
    LegacyFunction,
    ToolName,
)
from server.structured import lark
from server.structured.lark_in_json import lark_in_json_rule
from server.structured.place import Place
from server.structured.regex import check_regex
from server.structured.schema_walk import SchemaWalk

MAX_ALL_TEXT = 4 * SCHEMA_SIZE
"""Characters of all tools' schemas as JSON, and of their grammars."""

MAX_LARK_TEXT = lark.MAX_LENGTH
"""Characters of all custom tools' Lark grammars."""

Description = dict[str, Any]


class Toolset(msgspec.Struct, frozen=True):
    described: list[Description] = []
    """As functions in OpenAI's form, for chat templates."""
    callable: list[Tool] = []
    """Those that the model may call."""
    choice: ToolChoice = ToolChoice("none")
    custom: frozenset[str] = frozenset()
    """The names of those that are custom tools to the client."""
    legacy: bool = False
    """The client knows calls as `function_call` only."""


def toolset(request: ConversationFields) -> Toolset:
    """Of a request that has been checked (`schemas/tool_rules.py`). With the choice "none" the model learns of no tool:
    so nothing that it writes can be a call.

    Takes up to a tenth of a second for the largest schemas. Raises a 400 for what can't be enforced: of functions that
    aren't strict, for what is no schema, or too much of one.
    """
    _check_size(request)
    choice = _choice(request)
    defined = list(_defined(request))
    if choice.mode == "none" or not defined:
        return Toolset()
    return Toolset(
        [description for description, _ in defined],
        choice.among([tool for _, tool in defined]),
        choice,
        frozenset(tool.custom.name for tool in request.tools or () if isinstance(tool, CustomTool)),
        legacy=bool(request.functions),
    )


def _check_size(request: ConversationFields) -> None:
    """Before any of them is looked at: that takes longer."""
    total = 0
    for asked in (*_functions(request), *(grammar.definition for grammar in _grammars(request))):
        total += len(asked) if isinstance(asked, str) else len(json.dumps(asked))
        if total > MAX_ALL_TEXT:
            place = Place("functions" if request.functions else "tools")
            raise place.error(f"is too large: all its schemas together may have {MAX_ALL_TEXT} characters of JSON.")
    size = sum(len(grammar.definition) for grammar in _grammars(request) if grammar.syntax == "lark")
    if size > MAX_LARK_TEXT:
        raise Place("tools").error(f"has Lark grammars of {size} characters together, of at most {MAX_LARK_TEXT}.")


def _functions(request: ConversationFields) -> Iterator[dict[str, Any] | None]:
    yield from (function.parameters for function in request.functions or ())
    yield from (tool.function.parameters for tool in request.tools or () if isinstance(tool, FunctionTool))


def _grammars(request: ConversationFields) -> Iterator[Grammar]:
    formats = (tool.custom.format for tool in request.tools or () if isinstance(tool, CustomTool))
    yield from (format_.grammar for format_ in formats if isinstance(format_, GrammarToolFormat))


def _choice(request: ConversationFields) -> ToolChoice:
    if request.functions:
        match request.function_call:
            case ToolName(name=name):
                return ToolChoice.named(name)
            case "none":
                return ToolChoice("none")
        return ToolChoice(parallel=False)
    parallel = request.parallel_tool_calls is not False
    match request.tool_choice:
        case FunctionChoice(function=ToolName(name=name)) | CustomChoice(custom=ToolName(name=name)):
            return ToolChoice.named(name)
        case AllowedToolsChoice(allowed_tools=allowed):
            names = frozenset(name for _, name in allowed_names(allowed.tools))
            return ToolChoice(allowed.mode, names, parallel)
        case "none" | "required" as mode:
            return ToolChoice(mode, parallel=parallel)
    return ToolChoice(parallel=parallel)


def _defined(request: ConversationFields) -> Iterator[tuple[Description, Tool]]:
    for number, function in enumerate(request.functions or ()):
        yield _function(function, Place("functions").to(number))
    for number, tool in enumerate(request.tools or ()):
        place = Place("tools").to(number)
        if isinstance(tool, CustomTool):
            yield _custom(tool.custom, place.to("custom"))
        else:
            yield _function(tool.function, place.to("function"))


def _function(function: FunctionDefinition | LegacyFunction, place: Place) -> tuple[Description, Tool]:
    """Templates expect every property; what it is to us that a function is strict is none of theirs."""
    defaults = {"name": function.name, "description": "", "parameters": {"type": "object", "properties": {}}}
    given = function.model_dump(exclude_unset=True, exclude={"strict"})
    given = {name: value for name, value in given.items() if value is not None}
    strict = isinstance(function, FunctionDefinition) and bool(function.strict)
    parameters = function.parameters
    if parameters is not None:
        parameters = _enforceable(parameters, place.to("parameters"), strict=strict)
    return _described(defaults | given), Tool(function.name, parameters, strict)


def _enforceable(parameters: dict[str, Any], place: Place, *, strict: bool) -> dict[str, Any]:
    """A copy of the schema, made ready for llguidance."""
    written = json.dumps(parameters)
    if len(written) > SCHEMA_SIZE:
        raise place.error(f"is too large: {len(written)} characters of JSON, of at most {SCHEMA_SIZE}.")
    schema: dict[str, Any] = json.loads(written)
    SchemaWalk(schema, place, strict=strict).run()
    return schema


def _custom(tool: CustomToolDefinition, place: Place) -> tuple[Description, Tool]:
    text: dict[str, Any] = {"type": "string"}
    made = custom_tool(tool.name)
    if isinstance(tool.format, GrammarToolFormat):
        grammar = tool.format.grammar
        where = place.to("format", "grammar", "definition")
        if grammar.syntax == "regex":
            check_regex(grammar.definition, where)
            text["pattern"] = grammar.definition
            made = custom_tool(tool.name, pattern=grammar.definition)
        else:
            text["description"] = f"A text that this Lark grammar matches:\n{grammar.definition}"
            made = custom_tool(tool.name, rule=lark_in_json_rule(grammar.definition, where))
    parameters = {"type": "object", "properties": {ARGUMENT: text}, "required": [ARGUMENT]}
    description = {"name": tool.name, "description": tool.description or "", "parameters": parameters}
    return _described(description), made


def _described(function: Description) -> Description:
    return {"type": "function", "function": function}
