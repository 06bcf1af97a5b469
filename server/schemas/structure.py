"""The fields that say what the output's structure is: llama-server's and vLLM's. OpenAI's is `response_format`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from server.schemas.json_types import Body

Choices = Annotated[list[str], Field(fail_fast=True)]


class StructuredOutputs(Body):
    """vLLM's. One of the first five says what the output is."""

    json_: Any = Field(default=None, alias="json")
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None
    json_object: bool | None = None

    whitespace_pattern: str | None = None
    structural_tag: Any = None


class StructureFields(Body):
    """At most one of them says what the output is."""

    json_schema: Any = None
    grammar: str | None = None
    structured_outputs: StructuredOutputs | None = None

    # vLLM's older names
    guided_json: Any = None
    guided_regex: str | None = None
    guided_choice: Choices | None = None
    guided_grammar: str | None = None
