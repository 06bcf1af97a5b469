"""Tools, the choice among them, and the response's format, as a chat request describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.json_types import Body, Omissible

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
    name: str | None = None
    """llama-server asks for none."""
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Body):
    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["json_schema"]}, {"required": ["schema"]}]})
    type: Literal["json_schema"]
    json_schema: Omissible[JsonSchema] = None
    schema_: Omissible[dict[str, Any]] = Field(default=None, alias="schema")
    """llama-server's own, where there is no `json_schema`."""

    @model_validator(mode="after")
    def _has_a_schema(self) -> JsonSchemaFormat:
        if self.json_schema is None and self.schema_ is None:
            raise PydanticCustomError("json_schema", "of the type 'json_schema' must have 'json_schema', or 'schema'")
        return self


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
