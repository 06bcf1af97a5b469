"""The OpenAPI document: every route of the application as a path, with what it takes and answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Mount, Route

from server.app import ADMIN_ROUTES
from server.openapi.operations import BUSY, ERRORS, OPERATIONS, Operation
from server.openapi.schemas import Schema, reference, request_schemas, response_schemas
from server.routes import health
from server.schemas.error_response import ErrorResponse
from server.state import AppState
from server.version import __version__

JSON, EVENTS = "application/json", "text/event-stream"

_ABOUT = """An OpenAI-compatible inference server for GGUF models, on llama.cpp.

Fields that no endpoint knows are ignored, and null is the default where it is allowed. Bounds are the largest there
are: settings may lower them. Every answer has the header `x-request-id`, the request's own if it had one. What GET
answers, HEAD answers without a body."""

_STREAMED = """Or, if the request has `stream: true`, server-sent events; the schema is one event's, as in OpenAPI
3.2. {} What fails after the first event is the last one: its name is `error`, and its `data` an error object. Lines
that begin with a colon keep the connection open."""

SECURITY = {
    "key": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
_PROBES = {route.endpoint for route in health.routes}
_ADMIN = {route.endpoint for route in ADMIN_ROUTES}
_PARAMETERS = {"model": "One of the model's ids. A slash in it may be written as it is."}


Endpoints = dict[str, Callable[..., Any]]
"""What answers at a path, by method."""


def document(routes: Iterable[BaseRoute], state: AppState) -> bytes:
    """As JSON. May take a second: not for the event loop."""
    paths = _endpoints(routes)
    operations = [OPERATIONS[endpoint] for endpoints in paths.values() for endpoint in endpoints.values()]
    told = dict.fromkeys(kind for operation in operations for kind in (*operation.answers, *operation.events))
    answers, answer_components = response_schemas([ErrorResponse, *told])
    request_components = request_schemas({operation.body for operation in operations if operation.body is not None})
    told_paths = dict(_Paths(answers, state.host.models[0].name, keyed=state.keys is not None).items(paths))
    statuses = {status for item in told_paths.values() for status in re.findall(r"responses/(\d+)", str(item))}
    whole: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Paddock",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": told_paths,
        "components": {
            "schemas": dict(sorted((request_components | answer_components).items())),
            "responses": {status: _error(int(status), answers[ErrorResponse]) for status in sorted(statuses)},
        },
    }
    if state.keys is not None:
        whole["components"]["securitySchemes"] = SECURITY
        whole["security"] = [{name: []} for name in SECURITY]
    return msgspec.json.encode(whole)


def _endpoints(routes: Iterable[BaseRoute]) -> dict[str, Endpoints]:
    """By path. HEAD goes with GET."""
    paths: dict[str, Endpoints] = {}
    for path, route in _walk(routes):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {}).setdefault(method.lower(), route.endpoint)
    return paths


def _walk(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Route]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _walk(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            yield prefix + route.path_format, route


class _Paths:
    """Path items, of a server that asks for keys (`keyed`) or doesn't."""

    def __init__(self, answers: dict[Any, Schema], model: str, *, keyed: bool) -> None:
        self._answers = answers
        self._model = model
        self._keyed = keyed

    def items(self, paths: dict[str, Endpoints]) -> Iterator[tuple[str, Any]]:
        """A path that is another one's second name has the same operations, under other ids."""
        told: set[Callable[..., Any]] = set()
        for path, endpoints in paths.items():
            suffix = "_alias" if told.issuperset(endpoints.values()) else ""
            told.update(endpoints.values())
            item: dict[str, Any] = {
                method: self._operation(method, endpoint, suffix) for method, endpoint in endpoints.items()
            }
            if names := re.findall(r"{(\w+)}", path):
                item["parameters"] = [_parameter(name, "path", _PARAMETERS[name]) for name in names]
            yield path, item

    def _operation(self, method: str, endpoint: Callable[..., Any], suffix: str) -> dict[str, Any]:
        operation = OPERATIONS[endpoint]
        statuses = sorted({*operation.errors, *(self._key_errors(method, endpoint) if self._keyed else ())})
        errors = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
        whole: dict[str, Any] = {
            "operationId": endpoint.__name__ + suffix,
            "summary": operation.summary,
            "tags": [operation.tag],
            "responses": _success(operation, self._answers) | errors,
        }
        if doc := inspect.getdoc(endpoint):
            whole["description"] = doc
        if self._keyed and endpoint in _PROBES:
            whole["security"] = []
        if operation.query:
            whole["parameters"] = [_parameter(name, "query", doc) for name, doc in operation.query.items()]
        if (body := operation.body) is not None:
            field = body.model_fields.get("model")
            named = {"model": self._model} if field is not None and field.is_required() else {}
            example = operation.example if isinstance(operation.example, list) else {**named, **operation.example}
            content = {JSON: {"schema": reference(body), "example": example}}
            whole["requestBody"] = {"required": True, "content": content}
        return whole

    def _key_errors(self, method: str, endpoint: Callable[..., Any]) -> tuple[int, ...]:
        if endpoint in _PROBES:
            return ()
        return (401, *((403,) if endpoint in _ADMIN else ()), *((404, 429) if method == "post" else ()))


def _parameter(name: str, place: str, doc: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "description": doc, "schema": {"type": "string"}}


def _success(operation: Operation, answers: dict[Any, Schema]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in operation.text}
    said = "The answer."
    if operation.answers:
        content[JSON] = {"schema": _any_of([answers[kind] for kind in operation.answers])}
    if operation.events:
        content[EVENTS] = {"schema": _event([answers[kind] for kind in (*operation.events, ErrorResponse)])}
        said += f" {_STREAMED.format(operation.stream)}"
    return {"200": {"description": said, "content": content}} if content else {}


def _event(schemas: list[Schema]) -> Schema:
    chunk = {"type": "string", "contentMediaType": JSON, "contentSchema": _any_of(schemas)}
    properties = {"event": {"enum": ["message", "error"]}, "data": {"anyOf": [{"const": "[DONE]"}, chunk]}}
    return {"type": "object", "properties": properties, "required": ["data"]}


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _error(status: int, schema: Schema) -> dict[str, Any]:
    told: dict[str, Any] = {"description": ERRORS[status], "content": {JSON: {"schema": schema}}}
    if status in BUSY:
        told["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return told
