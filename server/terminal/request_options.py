"""The fields of a chat request that its user sets: samplers, limits, stop strings, how to think."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from server.command_line import suggestion
from server.errors import APIError
from server.schemas.chat import ChatCompletionRequest
from server.schemas.rules import check_chat
from server.schemas.samplers import SamplerFields
from server.schemas.validation import validate

FIELDS = (
    *SamplerFields.model_fields,
    "max_tokens",
    "stop",
    "response_format",
    "json_schema",
    "grammar",
    "reasoning_effort",
    "reasoning_format",
    "thinking_budget_tokens",
    "chat_template_kwargs",
    "cache_prompt",
)
SHORT = {"temp": "temperature", "n": "max_tokens", "n_predict": "max_tokens"}
SECOND_NAMES = ("typ_p", "mirostat_mode", "repetition_penalty")
WIDTH = max(map(len, FIELDS))
UNSET = ("default", "null")


class WrongOption(Exception):
    """There is no such field, or it can't be that; the message is one line."""


def with_option(options: Mapping[str, Any], name: str, text: str) -> dict[str, Any]:
    """With `text`, JSON or plain, as the field's value; or without it, if that says default. Raises WrongOption."""
    field = field_named(name)
    if text.lower() in UNSET:
        return {other: value for other, value in options.items() if other != field}
    return checked({**options, field: _value(text)})


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Raises WrongOption."""
    body = {"model": "any", "messages": [{"role": "user", "content": "any"}], **options}
    try:
        check_chat(validate(ChatCompletionRequest, body))
    except APIError as error:
        raise WrongOption(error.message) from None
    return dict(options)


def field_named(name: str) -> str:
    """Raises WrongOption."""
    field = SHORT.get(name, name).replace("-", "_")
    if field not in FIELDS:
        raise WrongOption(f"there is no option {name}{suggestion(field, FIELDS)}; /set alone lists them")
    return field


def known(body: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a request's fields that are options."""
    return {name: value for name, value in body.items() if name in FIELDS}


def table(values: Mapping[str, Any], defaults: Mapping[str, Any], fields: Iterable[str] | None = None) -> str:
    """A line for each field: what it is set to, or else what the server takes. Without `fields`: all, but for second
    names that aren't set."""
    chosen = [field for field in FIELDS if field in values or field not in SECOND_NAMES] if fields is None else fields
    lines = []
    for field in chosen:
        if field in values:
            lines.append(f"{field:{WIDTH}} {_text(values[field])}")
        else:
            # other defaults are those of llama-server's own completions
            default = f", {_text(defaults[field])}" if field in defaults and field in SamplerFields.model_fields else ""
            lines.append(f"{field:{WIDTH}} the server's default{default}")
    return "\n".join(lines)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
