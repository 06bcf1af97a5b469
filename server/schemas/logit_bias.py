"""`logit_bias` below `/v1`: OpenAI's object, and llama-server's pairs, as its own endpoints have them too."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from server import limits
from server.schemas.json_types import INT32_MAX
from server.schemas.samplers import Bias, LogitBias

_NUMBER = re.compile(r"-?[0-9]+")


def check_pairs(pairs: list[Any]) -> None:
    """Raises PydanticCustomError for what is no list of pairs [token id or text, bias], whatever the biases are."""
    if len(pairs) > limits.LOGIT_BIASES:
        raise _refuse(f"must be at most {limits.LOGIT_BIASES} biases")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not (type(pair[0]) is int or isinstance(pair[0], str)):
            raise _refuse("each entry must be a pair [token id or text, bias]")


def _by_token(value: Any) -> Any:
    """llama-server's pairs as OpenAI's object; all else as it is."""
    if not isinstance(value, list):
        return value
    check_pairs(value)
    return {_key(token): bias for token, bias in value}


def _key(token: int | str) -> str:
    """As the object has it, where a number in quotes is an id too."""
    if isinstance(token, int):
        if abs(token) > INT32_MAX:
            raise _refuse("each token id must be a number of 32 bits")
        return str(token)
    if _NUMBER.fullmatch(token):
        raise _refuse(f"{token[:40]!r} could be an id or a text: an id has no quotes in a list of pairs")
    return token


def _refuse(reason: str) -> PydanticCustomError:
    return PydanticCustomError("logit_bias", "{reason}", {"reason": reason})


_BiasPairs = Annotated[list[tuple[int | str, Bias]], Field(max_length=limits.LOGIT_BIASES)]
_BiasObject = Annotated[dict[str, Bias], Field(max_length=limits.LOGIT_BIASES)]
LogitBiases = Annotated[LogitBias, BeforeValidator(_by_token, json_schema_input_type=_BiasObject | _BiasPairs)]
