"""Schemas made into rules, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from server.errors import APIError
from server.structured.json_schema import json_rule
from server.structured.place import Place

STRING: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}


def rule(schema: Any, *, strict: bool = True) -> str:
    return json_rule(schema, Place("schema"), strict=strict)


def refused(schema: Any, *, strict: bool = True) -> APIError:
    with pytest.raises(APIError) as caught:
        rule(schema, strict=strict)
    error = caught.value
    assert error.status == 400 and error.param and f"'{error.param}'" in error.message
    return error


def at(error: APIError) -> str:
    return (error.param or "").removeprefix("schema").removeprefix(".")
