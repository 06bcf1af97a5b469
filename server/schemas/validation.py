"""JSON values to request models; what doesn't fit becomes an error that names the field as OpenAI does."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from server.errors import APIError, invalid

M = TypeVar("M", bound=BaseModel)

_building = threading.Lock()
"""Large bodies are validated in threads."""

_FREE_FORM = frozenset({"metadata", "logit_bias"})
"""Objects whose keys are the client's own: an error names the object."""

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_JSON_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def validate(model: type[M], value: Any) -> M:
    """Raises a 400 that names the first field at fault."""
    kind, name = (list, "array") if issubclass(model, RootModel) else (dict, "object")
    if not isinstance(value, kind):
        raise invalid(f"The body must be a JSON {name}.", None, "invalid_type")
    build(model)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], value) from None


def build(model: type[BaseModel]) -> None:
    """Models are built when they are first used, not when the server starts."""
    if not model.__pydantic_complete__:
        with _building:
            model.model_rebuild()


def _explain(error: ErrorDetails, body: Any) -> APIError:
    kind = error["type"]
    param = _path(error, body)
    if kind in ("missing", "union_tag_not_found"):
        return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    got = _JSON_NAMES.get(type(error["input"]), "something else")
    if kind in _EXPECTED:
        message = f"Invalid type for '{param}': expected {_EXPECTED[kind]}, but got {got} instead."
        return invalid(message, param, "invalid_type")
    if kind == "union_tag_invalid":
        return invalid(f"Invalid value for '{param}': must be one of {error['ctx']['expected_tags']}.", param)
    reason = error["msg"].replace(" after validation", "").replace("Input should be", "must be")
    return invalid(f"Invalid '{param}': {reason}.", param)


def _path(error: ErrorDetails, body: Any) -> str:
    """The field as `messages[0].content`.

    Pydantic's location holds the tags of unions too: those are the steps that the body doesn't have.
    """
    path = ""
    steps = error["loc"]
    for position, step in enumerate(steps, 1):
        absent = error["type"] == "missing" and position == len(steps)
        if isinstance(step, int) and isinstance(body, list):
            path, body = f"{path}[{step}]", body[step]
        elif isinstance(body, dict) and (absent or step in body):
            path, body = f"{path}.{step}", body.get(step)
        if path[1:] in _FREE_FORM:
            break
    if error["type"] in ("union_tag_invalid", "union_tag_not_found") and isinstance(body, dict):
        path = f"{path}.{error['ctx']['discriminator'].strip(chr(39))}"
    return path.removeprefix(".")
