"""The OpenAPI document: of every route, valid, and saying the same of bodies as the models that check them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import RootModel
from starlette.routing import Mount, Route

from server.access.key_store import KeyStore
from server.access.keys import Key, hashed
from server.app import create_app
from server.errors import APIError
from server.openapi.document import document
from server.openapi.operations import OPERATIONS
from server.schemas.validation import validate
from tests.server.openapi_document import Document
from tests.server.routes.client import call
from tests.server.scripted import scripted_state


@pytest.fixture(scope="module")
def doc() -> Document:
    state, _ = scripted_state()
    return Document(json.loads(document(create_app(state).routes, state)))


def _routes(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _routes(route.routes, prefix + route.path)
        else:
            assert isinstance(route, Route), "a kind of route that the document can't tell of"
            for method in (route.methods or set()) - {"HEAD"}:
                yield method, prefix + route.path.replace(":path}", "}")


def test_it_tells_of_every_route_and_of_no_other(doc: Document) -> None:
    routes = list(_routes(create_app(scripted_state()[0]).routes))
    assert len(routes) > 15
    assert set(routes) == set(doc.operations())


def test_it_is_valid(doc: Document) -> None:
    OpenAPIV31SpecValidator(doc.whole).validate()


def test_everything_in_it_is_used(doc: Document) -> None:
    text = json.dumps(doc.whole)
    for kind in ("schemas", "responses"):
        unused = [name for name in doc.whole["components"][kind] if f'"#/components/{kind}/{name}"' not in text]
        assert not unused


async def test_it_is_served_and_kept() -> None:
    state, _ = scripted_state()
    response = await call(state, "GET", "/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["openapi"].startswith("3.1")
    state, _ = scripted_state(loaded=False)
    assert (await call(state, "GET", "/openapi.json")).status_code == 200


async def test_with_keys_it_tells_who_needs_which(doc: Document) -> None:
    state, _ = scripted_state()
    state.keys = KeyStore([Key(name="client", sha256=hashed("sk-client"))])
    keyed = Document(json.loads(document(create_app(state).routes, state)))
    OpenAPIV31SpecValidator(keyed.whole).validate()
    assert "security" not in doc.whole and "401" not in doc.whole["components"]["responses"]
    for (method, path), operation in keyed.operations().items():
        answer = await call(state, method, path.replace("{model}", "m"))
        assert ("401" in operation["responses"]) == (answer.status_code == 401)
        assert (operation.get("security") == []) == (answer.status_code != 401)
        headers = {"Authorization": "Bearer sk-client"}
        refused = (await call(state, method, path.replace("{model}", "m"), headers=headers)).status_code == 403
        assert ("403" in operation["responses"]) == refused


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    command = "import sys, server.service; assert not [m for m in sys.modules if m.startswith('server.openapi')]"
    subprocess.run([sys.executable, "-c", command], check=True)


BODIES = {
    body: route.path
    for route in create_app(scripted_state()[0]).routes
    if isinstance(route, Route)
    and (body := OPERATIONS[route.endpoint].body) is not None
    and not issubclass(body, RootModel)
}
"""A path for each model of an object."""

USER = {"role": "user", "content": "x"}
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 7, -1, -2, 1.5, 1e30, 1e39, 2**31, 2**63, "", "text", "x" * 2000, "e", "ef", "top_k", [],
    ["a"], [1], [1, "a"], [[1]], [[1, 2]], [[1, False]], [["a", 1.5]], [[1, 2, 3]], [None], [True], [{}], [""], [["a"]],
    ["a"] * 65, ["a"] * 1025, ["top_k"], {}, {"a": 1}, {"a": 101}, {"a": False}, {"a": "b"}, {"a": None},
    {str(n): "" for n in range(17)}, {"type": "text"}, {"type": "x"}, {"id": "x"}, {"name": "x"},
    {"prompt_string": "x"}, {"prompt_string": 1}, USER, [USER],
    [{"role": "user"}], [{**USER, "name": None}], [{**USER, "content": []}],
    [{**USER, "role": "x"}], [{"type": "function", "function": {"name": "f"}}],
    [{"type": "function", "function": {"name": "!"}}], {"include_usage": None}, {"include_usage": True},
    {"type": "json_object", "schema": 1}, {"mode": "x"}, {"json": 1}, {"regex": 1}, [{"id": 0, "scale": 0.5}],
    [{"id": -1, "scale": 0.5}], [{"id": 0}],
)  # fmt: skip


def _fields(doc: Document) -> Iterator[tuple[Any, dict[str, Any], str, Any]]:
    """A model, its least body, a field and its schema; fields that models have in common once."""
    seen = []
    for model, path in BODIES.items():
        schema = doc.body(path)
        least = {name: _example(doc, schema["properties"][name]) for name in schema["required"]}
        assert not doc.faults(schema, least)
        for name, field in schema["properties"].items():
            if (name, field) not in seen:
                seen.append((name, field))
                yield model, least, name, field


def test_fields_are_what_the_models_take(doc: Document) -> None:
    taken = refused = 0
    wrong = []
    for model, least, name, field in _fields(doc):
        told = doc.validator(field)
        for value in (*VALUES, *_edges(field)):
            try:
                validate(model, {**least, name: value})
                takes = True
            except APIError:
                takes = False
            taken, refused = taken + takes, refused + (not takes)
            if told.is_valid(value) != takes and not _finer(name, value):
                wrong.append((model.__name__, name, value, "is refused" if told.is_valid(value) else "is taken"))
    assert not wrong
    assert taken > 500 and refused > 1000


def _finer(name: str, value: Any) -> bool:
    """What a JSON schema can't say, or not well: which names there are, in any case and spelling."""
    return name == "samplers" and isinstance(value, list) and all(isinstance(item, str) for item in value)


def _example(doc: Document, schema: Any) -> Any:
    for value in ("text", [1], [{"role": "user", "content": "x"}]):
        if not doc.faults(schema, value):
            return value
    raise AssertionError(schema)


def _edges(schema: Any) -> Iterator[Any]:
    """The extreme numbers that are allowed, and what is beyond them."""
    for branch in schema.get("anyOf", [schema]):
        for edge, step in (("minimum", -1), ("maximum", 1)):
            if edge in branch and abs(branch[edge]) < 2**53:
                yield from (branch[edge], branch[edge] + step)
