"""Schemas that a value must match together: those of `allOf`, and what stands beside `anyOf`, `oneOf` and `$ref`.

llguidance merges them: alternatives are multiplied with each other, and what is referred to is copied, so a schema of a
few hundred bytes can grow without end. And objects among them must stay open to each other's properties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from server.structured.keywords import BOUNDS, COUNTS, IN_PLACE
from server.structured.place import Place
from server.structured.references import References
from server.structured.schema_parts import parts

MAX_SIZE = 20_000
"""Schemas, once merged."""

_OWN = frozenset(
    {"type", "properties", "patternProperties", "additionalProperties", "required", "items", "additionalItems",
     "prefixItems", "pattern", "format", "multipleOf", *COUNTS, *BOUNDS}
)  # fmt: skip
_N_TYPES = 6
"""What a schema without `type` is taken as: one for each."""

Size = tuple[int, int]
"""Alternatives, and schemas in all of them together."""
_MANY = 10**9


class Merging:
    """Of a schema whose keywords have been checked."""

    def __init__(self, root: Any, references: References) -> None:
        self._references = references
        self.order = self._bottom_up(root)
        """Every schema in it, after those in that and those that it refers to, but for cycles."""
        self._copied: dict[int, Size] = {}
        """By id: what a schema comes to where it is merged with others. References in place of it are followed."""
        self._named: dict[int, int] = {}
        """By id: what it comes to elsewhere. References are names there."""
        self.merges = any(len(conjuncts(schema)) > 1 for schema in self.order)

    def check_size(self, place: Place) -> None:
        """Raises a 400 for a schema that would grow too large."""
        total = 0
        for schema in self.order:
            self._measure(schema)
            if len(conjuncts(schema)) > 1:
                total += self._copied[id(schema)][1]
            if max(total, self._named.get(id(schema), 1)) > MAX_SIZE:
                raise place.error(
                    f"is too large: with references followed and 'allOf', 'anyOf' and 'oneOf' merged, it has more than "
                    f"{MAX_SIZE} schemas."
                )

    def close_objects(self) -> None:
        """Where a schema lists properties, and doesn't say whether there may be others: there are no others.

        llama-server and vLLM do so too: what else may come is where models ramble. The output matches all the same. Not
        where schemas are merged, one of which may have properties that another doesn't list.
        """
        merged = self.merged()
        for schema in self.order:
            listed = schema.get("properties")
            if (
                listed
                and id(schema) not in merged
                and not schema.keys() & {"additionalProperties", "patternProperties", "minProperties"}
                and all(name in listed for name in schema.get("required", ()))
            ):
                schema["additionalProperties"] = False

    def _bottom_up(self, root: Any) -> list[dict[str, Any]]:
        """Every schema after those that it has in it or refers to, but for cycles."""
        order: list[dict[str, Any]] = []
        seen: set[int] = set()
        waiting: list[tuple[Any, bool]] = [(root, False)]
        while waiting:
            schema, ready = waiting.pop()
            if ready:
                order.append(schema)
            elif isinstance(schema, dict) and id(schema) not in seen:
                seen.add(id(schema))
                waiting.append((schema, True))
                waiting += [(part, False) for part in parts(schema)]
                if "$ref" in schema:
                    waiting.append((self._references.target(schema), False))
        return order

    def _measure(self, schema: dict[str, Any]) -> None:
        together = conjuncts(schema)
        alternatives, size = 1, 1 if len(together) > 1 else 0
        for keyword, values in together:
            more, larger = self._merged_size(schema, keyword, values)
            alternatives, size = alternatives * more, alternatives * larger + more * size
            alternatives, size = min(alternatives, _MANY), min(size, _MANY)
        self._copied[id(schema)] = alternatives, size
        if len(together) > 1:
            self._named[id(schema)] = size
        elif together and together[0][0] in IN_PLACE:
            self._named[id(schema)] = sum(self._named.get(id(value), 1) for value in together[0][1])
        elif together and together[0][0] != "$ref":
            self._named[id(schema)] = size

    def _merged_size(self, schema: dict[str, Any], keyword: str, values: Any) -> Size:
        """Of one conjunct where it is merged with others."""
        if keyword == "own":
            named = schema.get("type")
            alternatives = _N_TYPES if named is None else len(named) if isinstance(named, list) else 1
            return alternatives, alternatives + sum(self._named.get(id(part), 1) for part in _inner(schema))
        if keyword in ("enum", "const"):
            return len(values), len(values)
        if keyword == "$ref":
            return self._copied.get(id(self._references.target(schema)), (1, 1))
        sizes = [self._copied.get(id(value), (1, 1)) for value in values]
        return sum(size[0] for size in sizes), sum(size[1] for size in sizes)

    def merged(self) -> set[int]:
        """Schemas that a value must match together with others."""
        return set(self.reached(schema for schema in self.order if len(conjuncts(schema)) > 1))

    def reached(self, schemas: Iterable[Any]) -> dict[int, dict[str, Any]]:
        """By id: these, those in them, and those that stand in their place."""
        found: dict[int, dict[str, Any]] = {}
        waiting = list(schemas)
        while waiting:
            schema = waiting.pop()
            if isinstance(schema, dict) and id(schema) not in found:
                found[id(schema)] = schema
                waiting += [*self._in_place(schema), *parts(schema)]
        return found

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Any]:
        for keyword in IN_PLACE:
            yield from schema.get(keyword, ())
        if "$ref" in schema:
            yield self._references.target(schema)


def conjuncts(schema: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a value must match together: ("own", …) for the schema's own keywords, others by theirs."""
    together: list[tuple[str, Any]] = [("own", ())] if schema.keys() & _OWN else []
    for keyword in ("enum", "anyOf", "oneOf"):
        if keyword in schema:
            together.append((keyword, schema[keyword]))
    if "const" in schema:
        together.append(("const", [schema["const"]]))
    if "$ref" in schema:
        together.append(("$ref", ()))
    return together + [("allOf", [part]) for part in schema.get("allOf", ())]


def _inner(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas in it that are of other values than its own."""
    in_place = {id(part) for keyword in IN_PLACE for part in schema.get(keyword, ())}
    return (part for part in parts(schema) if id(part) not in in_place)
