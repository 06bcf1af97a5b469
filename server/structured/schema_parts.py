"""The schemas inside of a schema, definitions not among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.structured.keywords import LISTS, MAPS, SINGLE
from server.structured.place import Place


def parts(schema: dict[str, Any]) -> Iterator[Any]:
    """Of one whose own keywords have been checked."""
    return (part for part, _ in placed_parts(schema, Place("")))


def placed_parts(schema: dict[str, Any], place: Place) -> Iterator[tuple[Any, Place]]:
    """The same, with their places; `place`: the schema's own."""
    for keyword in MAPS:
        for name, child in schema.get(keyword, {}).items():
            yield child, place.to(keyword, name)
    for keyword in LISTS:
        for position, child in enumerate(schema.get(keyword, ())):
            yield child, place.to(keyword, position)
    for keyword in SINGLE:
        child = schema.get(keyword)
        if isinstance(child, list) and keyword == "items":  # tuples, before there was `prefixItems`
            for position, item in enumerate(child):
                yield item, place.to(keyword, position)
        elif child is not None:
            yield child, place.to(keyword)
