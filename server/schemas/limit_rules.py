"""A request's fields against the server's limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from server.errors import invalid
from server.limits import Limits
from server.schemas.chat import ChatCompletionRequest
from server.schemas.completion import CompletionRequest
from server.schemas.conversation import ConversationFields
from server.schemas.generation import GenerationFields
from server.schemas.native import NativeOptions
from server.schemas.structure import StructureFields
from server.schemas.tools import FunctionTool, JsonObjectFormat, JsonSchemaFormat, ResponseFormat


def check_limits(body: BaseModel, limits: Limits) -> None:
    """Raises a 400 for the first field that is too much."""
    if isinstance(body, ConversationFields):
        _at_most(limits.messages, len(body.messages), "messages", "messages", "--max-messages")
        _check_schemas(_of_tools(body), limits)
    if isinstance(body, (GenerationFields, NativeOptions)):
        _check_generation(body, limits)
    if isinstance(body, CompletionRequest):
        _at_most(limits.n, body.best_of or 0, "choices", "best_of", "--max-n")
    if isinstance(body, (ChatCompletionRequest, CompletionRequest)):
        _check_schemas(_of_format(body.response_format), limits)


def _check_generation(body: GenerationFields | NativeOptions, limits: Limits) -> None:
    stops = body.stop_strings
    _at_most(limits.stop_strings, len(stops), "strings", "stop", "--max-stop-strings")
    _at_most(limits.stop_length, max(map(len, stops), default=0), "characters in a string", "stop", "--max-stop-length")
    _at_most(limits.logit_biases, len(body.logit_bias or ()), "entries", "logit_bias", "--max-logit-bias")
    if isinstance(body, GenerationFields):
        _at_most(limits.n, body.n or 1, "choices", "n", "--max-n")
    else:
        _at_most(limits.n, body.completions, "choices", "n_cmpl" if body.n_cmpl else "n", "--max-n")
    _check_schemas(_of_fields(body), limits)


def _check_schemas(schemas: Iterator[tuple[str, Any]], limits: Limits) -> None:
    for param, schema in schemas:
        if schema is not None:
            size = len(schema) if isinstance(schema, str) else len(json.dumps(schema))
            _at_most(limits.schema_size, size, "characters of JSON", param, "--max-schema-size")


def _of_tools(body: ConversationFields) -> Iterator[tuple[str, Any]]:
    for number, tool in enumerate(body.tools or ()):
        if isinstance(tool, FunctionTool):
            yield f"tools[{number}].function.parameters", tool.function.parameters
    for number, function in enumerate(body.functions or ()):
        yield f"functions[{number}].parameters", function.parameters


def _of_format(response_format: ResponseFormat | None) -> Iterator[tuple[str, Any]]:
    if isinstance(response_format, (JsonObjectFormat, JsonSchemaFormat)):
        yield "response_format.schema", response_format.schema_
    if isinstance(response_format, JsonSchemaFormat) and response_format.json_schema is not None:
        yield "response_format.json_schema.schema", response_format.json_schema.schema_


def _of_fields(fields: StructureFields) -> Iterator[tuple[str, Any]]:
    yield "json_schema", fields.json_schema
    yield "guided_json", fields.guided_json
    if fields.structured_outputs is not None:
        yield "structured_outputs.json", fields.structured_outputs.json_


def _at_most(limit: int, count: int, what: str, param: str, setting: str) -> None:
    if count > limit:
        message = f"'{param}' has {count} {what}; this server takes at most {limit} ({setting})."
        raise invalid(message, param)
