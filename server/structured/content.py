"""What a request's output must be, as the body of a grammar's rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from server.body import parse_json
from server.chat.formats.grammar import Grammar, regex
from server.errors import APIError
from server.schemas.structure import StructuredOutputs, StructureFields
from server.schemas.tools import JsonObjectFormat, JsonSchema, JsonSchemaFormat, ResponseFormat
from server.structured.aside import aside
from server.structured.gbnf import gbnf_rule
from server.structured.json_schema import ANY_OBJECT, json_object_rule, json_rule
from server.structured.lark import lark_rule
from server.structured.place import Place
from server.structured.regex import regex_rule
from server.structured.shortest import MAX_LENGTH

MAX_CHOICES = 10_000
MAX_CHOICE_LENGTH = 256 * 1024
"""Characters of all choices together."""

Asked = tuple[Place, Any]
"""A field that says what the output is, and its value."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def content_rule(fields: StructureFields, response_format: ResponseFormat | None = None) -> str | None:
    """The body of a Lark rule for the output, `%json {…}` for example; None where the text is free.

    Takes tenths of a second for the largest grammars: rather call it `aside`. Raises a 400 for what can't be
    enforced, and for two fields that both say what the output is.
    """
    asked = list(_asked(fields, response_format))
    if len(asked) > 1:
        first, second = asked[0][0], asked[1][0]
        raise second.error(f"and '{first}' exclude each other: both say what the output is.")
    return _rule(*asked[0]) if asked else None


def whole_grammar(rule: str) -> str:
    """The grammar for an output that is this and nothing else, where no chat template is involved."""
    return Grammar({}).text(rule)


def structure_field(fields: StructureFields, response_format: ResponseFormat | None = None) -> str | None:
    """The field that says what the output must be; None where the text is free."""
    return next((str(place) for place, _ in _asked(fields, response_format)), None)


async def completion_grammar(fields: StructureFields, response_format: ResponseFormat | None = None) -> str | None:
    """The whole grammar for a completion; made in a thread, so that others go on meanwhile."""
    if structure_field(fields, response_format) is None:
        return None
    rule = await aside(content_rule, fields, response_format)
    return None if rule is None else whole_grammar(rule)


def _asked(fields: StructureFields, response_format: ResponseFormat | None) -> Iterator[Asked]:
    yield from _of_format(response_format)
    yield from _of_fields(fields)


def _of_format(response_format: ResponseFormat | None) -> Iterator[Asked]:
    place = Place("response_format")
    match response_format:
        case JsonObjectFormat(schema_=dict() as schema) | JsonSchemaFormat(json_schema=None, schema_=dict() as schema):
            yield place.to("schema"), schema or ANY_OBJECT
        case JsonObjectFormat():
            yield place, response_format
        case JsonSchemaFormat(json_schema=JsonSchema() as named):
            yield place.to("json_schema"), named


def _of_fields(fields: StructureFields) -> Iterator[Asked]:
    if fields.json_schema is not None:
        yield Place("json_schema"), fields.json_schema
    for name in ("grammar", "guided_json", "guided_regex", "guided_choice", "guided_grammar"):
        if (value := getattr(fields, name)) not in (None, ""):
            yield Place(name), value
    if fields.structured_outputs is not None:
        yield from _of_vllm(fields.structured_outputs, Place("structured_outputs"))


def _of_vllm(outputs: StructuredOutputs, place: Place) -> Iterator[Asked]:
    for name in ("whitespace_pattern", "structural_tag"):
        if getattr(outputs, name) is not None:
            raise place.to(name).error("is not supported by this server.")
    given: dict[str, Any] = {
        "json": outputs.json_,
        "regex": outputs.regex,
        "choice": outputs.choice,
        "grammar": outputs.grammar,
        "json_object": outputs.json_object or None,
    }
    asked = [(place.to(name), value) for name, value in given.items() if value is not None]
    if not asked and outputs.json_object is None:
        raise place.error("must have one of 'json', 'regex', 'choice', 'grammar' and 'json_object'.")
    yield from asked


def _rule(place: Place, value: Any) -> str:
    match str(place.step).removeprefix("guided_"):
        case "response_format" | "json_object":
            return json_object_rule()
        case "json_schema" if isinstance(value, JsonSchema):
            return _named_schema_rule(place, value)
        case "json_schema" | "schema":
            return json_rule(value, place, strict=True)
        case "json":
            return json_rule(_parsed(place, value), place, strict=True)
        case "regex":
            return regex_rule(value, place)
        case "choice":
            return _choice_rule(place, value)
    return gbnf_rule(value, place) if place == Place("grammar") or "::=" in value else lark_rule(value, place)


def _named_schema_rule(place: Place, named: JsonSchema) -> str:
    """OpenAI's: what isn't strict is followed as far as it can be. As in llama-server, none and an empty one are any
    object's."""
    if named.name is not None and not _NAME.fullmatch(named.name):
        raise place.to("name").error("must be 1 to 64 letters, digits, underscores and dashes.")
    return json_rule(named.schema_ or ANY_OBJECT, place.to("schema"), strict=named.strict is True)


def _parsed(place: Place, schema: Any) -> Any:
    """vLLM also takes a schema that is written as JSON in a string."""
    if not isinstance(schema, str):
        return schema
    try:
        return parse_json(schema.encode())
    except APIError:
        raise place.error("must be a schema, or a string that is the JSON of one.") from None


def _choice_rule(place: Place, choices: list[str]) -> str:
    """One terminal for all of them: many would be slow."""
    if not choices or len(choices) > MAX_CHOICES or sum(map(len, choices)) > MAX_CHOICE_LENGTH:
        raise place.error(f"must be 1 to {MAX_CHOICES} texts, with {MAX_CHOICE_LENGTH} characters in all of them.")
    for number, choice in enumerate(choices):
        if len(choice) > MAX_LENGTH:
            raise place.to(number).error(f"is {len(choice)} characters long, of at most {MAX_LENGTH}.")
    return f"/(?:{'|'.join(regex(choice) for choice in choices)})/"
