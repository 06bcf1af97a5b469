"""JSON Schema's types for pydantic models: no coercion between them, null only where a field says so.

A string is never a number, a boolean is never a number, and a number without a fraction is an integer however it is
written (`1.0`), as JSON Schema has it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

FLOAT32_MAX = 3.4028234663852886e38
INT32_MAX = 2**31 - 1

T = TypeVar("T")


class Body(BaseModel):
    """A JSON object. Properties that it does not know are ignored."""

    # built by `validate` when first used, and only those that are bodies of their own: they contain the others
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "must not be null; leave it out instead")
    return value


def _text_or_list(value: Any) -> str | None:
    return "<text>" if isinstance(value, str) else "<list>" if isinstance(value, list) else None


Integer = Annotated[int, BeforeValidator(_integral)]
Number = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX, allow_inf_nan=False)]
"""Finite in the 32 bits that llama.cpp keeps of it."""

Omissible = Annotated[T | None, BeforeValidator(not_null)]
"""A property that may be left out, which then reads as None, but may not be null."""

text_or_list = Discriminator(
    _text_or_list, custom_error_type="text_or_list", custom_error_message="must be a string or a list"
)
"""For unions tagged `<text>` and `<list>`; the brackets keep tags apart from property names in error paths."""

TextOrList = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[T], Tag("<list>"), Field(min_length=1, fail_fast=True)],
    text_or_list,
]
"""A string, or a list of at least one T."""
