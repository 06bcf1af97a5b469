"""Tools, the choice among them, and the response's format, as a chat request describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag

from server.schemas.json_types import Body

MAX_TOOLS = 1024

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class FunctionDefinition(Body):
    """Properties that OpenAI does not have are kept: chat templates read some."""

    model_config = ConfigDict(extra="allow")
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Body):
    type: Literal["function"]
    function: FunctionDefinition


class TextToolFormat(Body):
    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]


class Grammar(Body):
    definition: str
    syntax: Literal["lark", "regex"]


class GrammarToolFormat(Body):
    model_config = ConfigDict(extra="forbid")
    type: Literal["grammar"]
    grammar: Grammar


class CustomToolDefinition(Body):
    name: Name
    description: str | None = None
    format: Annotated[TextToolFormat | GrammarToolFormat, Field(discriminator="type")] | None = None


class CustomTool(Body):
    type: Literal["custom"]
    custom: CustomToolDefinition


Tool = Annotated[FunctionTool | CustomTool, Field(discriminator="type")]


class LegacyFunction(Body):
    """An entry of the deprecated `functions`."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolName(Body):
    name: str


class AllowedTools(Body):
    mode: Literal["auto", "required"]
    tools: Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class AllowedToolsChoice(Body):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class FunctionChoice(Body):
    type: Literal["function"]
    function: ToolName


class CustomChoice(Body):
    type: Literal["custom"]
    custom: ToolName


def _mode_or_object(value: Any) -> str | None:
    return "<mode>" if isinstance(value, str) else "<object>" if isinstance(value, dict) else None


_MODE_OR_OBJECT = Discriminator(
    _mode_or_object, custom_error_type="mode_or_object", custom_error_message="must be a string or an object"
)
_ToolChoiceObject = Annotated[AllowedToolsChoice | FunctionChoice | CustomChoice, Field(discriminator="type")]

ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<mode>")] | Annotated[_ToolChoiceObject, Tag("<object>")],
    _MODE_OR_OBJECT,
]
FunctionCallChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag("<mode>")] | Annotated[ToolName, Tag("<object>")],
    _MODE_OR_OBJECT,
]


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """llama-server's own."""


class JsonSchema(Body):
    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
