"""A pass over a JSON schema: everything in it that can't be enforced, or would cost too much, is found with its path.

llguidance compiles schemas recursively and without regard for time. What was measured with 1.9, on an 8 MiB stack:
1,800 schemas in each other, references followed, end the process; 5,000 properties of one object take 2 s; 1,000
`patternProperties` and a `multipleOf` of 999,983 take more than 20 s each.
"""

from __future__ import annotations

from typing import Any

from server.structured.keyword_checks import LEFT_OUT, KeywordChecks
from server.structured.merging import Merging
from server.structured.oneof import Disjointness
from server.structured.place import Place
from server.structured.references import References
from server.structured.schema_parts import placed_parts
from server.structured.schema_shapes import SchemaShapes
from server.structured.shortest import TooLong, check_shortest

MAX_SUBSCHEMAS = 5_000
MAX_DEPTH = 1_000
"""Schemas in each other, through every reference once: 4.5 KiB of stack each."""


class SchemaWalk:
    """Of one schema, a copy of the client's, which is made ready for llguidance on the way.

    `strict`: what can't be enforced is a 400; else it is taken out.
    """

    def __init__(self, root: Any, place: Place, *, strict: bool) -> None:
        self._root = root
        self._place = place
        self._strict = strict
        self._references = References(root, place)
        self._checks = KeywordChecks(self._references, strict=strict)
        self._entries: list[tuple[Any, Place]] = []
        self._places: dict[int, Place] = {}
        """Where each schema stands, by its id: those that were seen."""
        self._one_of: list[tuple[dict[str, Any], Place]] = []

    def run(self) -> None:
        """Raises a 400."""
        depth = 0
        self._entries.append((self._root, self._place))
        while self._entries:
            schema, place = self._entries.pop()
            if id(schema) not in self._places:
                depth += self._walk(schema, place)
                if depth > MAX_DEPTH:
                    raise place.error(f"makes the schema more than {MAX_DEPTH} levels deep, references included.")
        disjointness = Disjointness(self._references)
        for schema, place in self._one_of if self._strict else ():
            disjointness.check(schema["oneOf"], place.to("oneOf"))
        merging = Merging(self._root, self._references)
        merging.check_size(self._place)
        if merging.merges:
            self._checks.check_multiples(self._place)
        self._check_shortest(merging)
        merging.close_objects()

    def _walk(self, schema: Any, place: Place) -> int:
        """From the root, or from what a reference points at, down; how deep that is."""
        deepest = 0
        waiting = [(schema, place, 1)]
        while waiting:
            schema, place, depth = waiting.pop()
            deepest = max(deepest, depth)
            if isinstance(schema, bool):
                continue
            if not isinstance(schema, dict):
                raise place.error("must be a schema: an object or a boolean.")
            if id(schema) in self._places:
                continue
            self._places[id(schema)] = place
            if len(self._places) > MAX_SUBSCHEMAS:
                raise self._place.error(f"has more than {MAX_SUBSCHEMAS} schemas in it.")
            _change(schema, self._checks.changes(schema, place))
            if "oneOf" in schema:
                self._one_of.append((schema, place))
            if "$ref" in schema and (found := self._references.resolve(schema["$ref"])) is not None:
                self._entries.append((found[0], found[1]))
            waiting += [(child, where, depth + 1) for child, where in placed_parts(schema, place)]
        return deepest

    def _check_shortest(self, merging: Merging) -> None:
        try:
            check_shortest(SchemaShapes(self._references, merging, self._checks.patterns).rules())
        except TooLong as error:
            place = next((place for key, place in self._places.items() if key == error.rule), self._place)
            raise place.error(f"asks for too much: what matches it {error}.") from None


def _change(schema: dict[str, Any], changes: dict[str, Any]) -> None:
    for keyword, value in changes.items():
        if value is LEFT_OUT:
            del schema[keyword]
        else:
            schema[keyword] = value
