"""One schema's own keywords: what llguidance is to have of each, or why it can't be.

Nothing is changed here; and how schemas stand to each other is no matter of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from math import lcm
from typing import Any, Final

from server.errors import APIError
from server.structured import dates
from server.structured.keywords import (
    BOUNDS,
    COUNTS,
    ENFORCED,
    FORMATS,
    IDENTIFIERS,
    IN_PLACE,
    LISTS,
    TYPES,
    UNSUPPORTED,
    vacuous,
)
from server.structured.place import Place
from server.structured.references import References
from server.structured.regex import Measures, check_regex
from server.structured.shortest import MAX_LENGTH

MAX_PROPERTIES = 1_000
"""Of one object: it takes the square of this."""
MAX_OPTIONAL_PROPERTIES = 400
"""Of them: where they may come, llguidance has 4 items in its parser for each, of at most 2,000."""
MAX_PATTERN_PROPERTIES = 30
"""The same."""
MAX_PATTERNS = 200
"""`pattern` and `patternProperties`, of the whole schema."""
MAX_COUNTED_PROPERTIES = 40
"""Optional ones, of an object with `minProperties` or `maxProperties`: the square of this in items."""
MAX_VALUES = 10_000
"""Of all `enum` together."""
LEAST_COUNT = MAX_LENGTH
"""Items, properties, characters that there must be."""
MAX_COUNT = 1_000_000
"""The same that there may be. No context holds more, so more of them at most are no limit."""
MAX_MULTIPLE = 10_000
"""`multipleOf` without its decimal point: a state each."""
MAX_DECIMALS = 6
LARGEST_BOUND = 10**18
"""Bounds are written as regular expressions of their digits."""

LEFT_OUT: Final = object()
"""In place of a keyword's value."""

Schema = dict[str, Any]
Check = Callable[["KeywordChecks", Schema, Place], Any]


class KeywordChecks:
    """Of all schemas in one. `strict`: what can't be enforced is a 400; else it is left out."""

    def __init__(self, references: References, *, strict: bool) -> None:
        self._references = references
        self._strict = strict
        self._n_values = 0
        self._n_patterns = 0
        self.patterns: dict[str, Measures] = {}
        """Those that are kept."""
        self._multiples: list[Decimal] = []

    def changes(self, schema: Schema, place: Place) -> dict[str, Any]:
        """What is to change, by keyword: its new value, or LEFT_OUT. Raises a 400."""
        changed: dict[str, Any] = {}
        for keyword, value in schema.items():
            new = value
            if keyword in IDENTIFIERS and (keyword != "id" or isinstance(value, str)):
                new = LEFT_OUT
            elif keyword in UNSUPPORTED:
                new = self._unsupported(keyword, value, place.to(keyword))
            elif keyword in ENFORCED and (check := _CHECKS.get(keyword)) is not None:
                new = check(self, schema, place.to(keyword))
            if new is not value:
                changed[keyword] = new
        kind = schema.get("format")
        pattern = dates.PATTERNS.get(kind) if isinstance(kind, str) and "pattern" not in schema else None
        if pattern is not None:
            changed["pattern"] = pattern
            self.patterns[pattern] = check_regex(pattern, place)
        left = {keyword: value for keyword, value in schema.items() if changed.get(keyword) is not LEFT_OUT}
        return changed | dict.fromkeys(self._uncountable(left, place), LEFT_OUT)

    def check_multiples(self, place: Place) -> None:
        """Where schemas are intersected, so may all `multipleOf` be. Raises a 400."""
        decimals = max(map(_decimals, self._multiples), default=0)
        together = lcm(*(int(number.scaleb(decimals)) for number in self._multiples))
        if together > MAX_MULTIPLE:
            raise place.error(f"has 'multipleOf' whose least common multiple is too large: above {MAX_MULTIPLE}.")

    def _left_out(self, error: Exception) -> Any:
        """Of what can't be enforced: the error only if the client insists."""
        if self._strict:
            raise error
        return LEFT_OUT

    def _unsupported(self, keyword: str, value: Any, place: Place) -> Any:
        if vacuous(keyword, value):
            return LEFT_OUT
        return self._left_out(place.error(f"is not supported: the keyword '{keyword}' can't be enforced."))

    def _uncountable(self, schema: Schema, place: Place) -> Iterator[str]:
        for keyword in ("minProperties", "maxProperties"):
            if keyword in schema and not _countable(schema):
                self._left_out(place.to(keyword).error(f"is not supported: {_COUNTABLE}."))
                yield keyword

    def check_type(self, schema: Schema, place: Place) -> Any:
        named = schema["type"]
        for name in named if isinstance(named, list) and named else [named]:
            if name not in TYPES:
                raise place.error(f"must be one of {', '.join(TYPES)}, or a list of them.")
        return named

    def check_enum(self, schema: Schema, place: Place) -> Any:
        values = schema["enum"]
        if not isinstance(values, list) or not values:
            raise place.error("must be a list of at least one value.")
        self._n_values += len(values)
        if self._n_values > MAX_VALUES:
            raise place.error(f"makes more than {MAX_VALUES} values in the schema's enums.")
        return values

    def check_reference(self, schema: Schema, place: Place) -> Any:
        """The reference in the form that llguidance takes."""
        reference = schema["$ref"]
        if not isinstance(reference, str):
            raise place.error("must be a string.")
        if (found := self._references.resolve(reference)) is not None:
            return found[2]
        error = place.error("must refer to a place in this schema, such as '#/$defs/name'; there is no such place.")
        if reference.startswith("#/"):
            raise error
        return self._left_out(error)

    def check_list(self, schema: Schema, place: Place) -> Any:
        schemas = schema[_step(place)]
        if not isinstance(schemas, list):
            raise place.error("must be a list of schemas.")
        if _step(place) in IN_PLACE and not schemas:
            raise place.error("must not be empty.")
        return schemas

    def check_map(self, schema: Schema, place: Place) -> Any:
        schemas = schema[_step(place)]
        if not isinstance(schemas, dict):
            raise place.error("must be an object of schemas.")
        if len(schemas) > MAX_PROPERTIES:
            raise place.error(f"must have at most {MAX_PROPERTIES} entries.")
        return schemas

    def check_properties(self, schema: Schema, place: Place) -> Any:
        schemas: dict[str, Any] = self.check_map(schema, place)
        required = schema.get("required")
        needed = set(filter(_is_text, required)) if isinstance(required, list) else set()
        if len(schemas.keys() - needed) > MAX_OPTIONAL_PROPERTIES:
            raise place.error(f"must have at most {MAX_OPTIONAL_PROPERTIES} entries that are not required.")
        return schemas

    def check_pattern_properties(self, schema: Schema, place: Place) -> Any:
        schemas: dict[str, Any] = self.check_map(schema, place)
        if len(schemas) > MAX_PATTERN_PROPERTIES:
            raise place.error(f"must have at most {MAX_PATTERN_PROPERTIES} entries.")
        kept = {
            pattern: value
            for pattern, value in schemas.items()
            if self._pattern(pattern, place.to(pattern)) is not LEFT_OUT
        }
        return schemas if len(kept) == len(schemas) else kept

    def check_pattern(self, schema: Schema, place: Place) -> Any:
        if not isinstance(schema["pattern"], str):
            raise place.error("must be a string.")
        return self._pattern(schema["pattern"], place)

    def _pattern(self, pattern: str, place: Place) -> Any:
        self._n_patterns += 1
        if self._n_patterns > MAX_PATTERNS:
            raise place.error(f"makes more than {MAX_PATTERNS} patterns in the schema.")
        try:
            self.patterns[pattern] = check_regex(pattern, place)
        except APIError as error:
            return self._left_out(error)
        return pattern

    def check_format(self, schema: Schema, place: Place) -> Any:
        name = schema["format"]
        if not isinstance(name, str):
            raise place.error("must be a string.")
        named = schema.get("type", "string")
        if name in FORMATS or (named != "string" and "string" not in named):
            return name
        enforced = ", ".join(sorted(FORMATS))
        return self._left_out(place.error(f"is not supported: formats that can be enforced are {enforced}."))

    def check_required(self, schema: Schema, place: Place) -> Any:
        names = schema["required"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise place.error("must be a list of names.")
        if len(names) > MAX_PROPERTIES:
            raise place.error(f"must have at most {MAX_PROPERTIES} entries.")
        return names

    def check_count(self, schema: Schema, place: Place) -> Any:
        """As an integer."""
        count = schema[_step(place)]
        if isinstance(count, bool) or not isinstance(count, int | float) or count < 0 or count != int(count):
            raise place.error("must be an integer of at least 0.")
        if _step(place).startswith("min") and count > LEAST_COUNT:
            raise place.error(f"must be at most {LEAST_COUNT}.")
        return LEFT_OUT if count > MAX_COUNT else int(count)

    def check_bound(self, schema: Schema, place: Place) -> Any:
        keyword = _step(place)
        bound = schema[keyword]
        if isinstance(bound, bool) and keyword.startswith("exclusive"):  # as in draft 4: of the other bound
            return LEFT_OUT if _too_far(schema.get(keyword.removeprefix("exclusive").lower())) else bound
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise place.error("must be a number.")
        if _too_far(bound):
            return self._left_out(place.error(f"must be between {-LARGEST_BOUND:.0e} and {LARGEST_BOUND:.0e}."))
        return bound

    def check_multiple(self, schema: Schema, place: Place) -> Any:
        divisor = schema["multipleOf"]
        if isinstance(divisor, bool) or not isinstance(divisor, int | float) or divisor <= 0:
            raise place.error("must be a number above 0.")
        number = Decimal(repr(divisor))
        decimals = _decimals(number)
        if decimals > MAX_DECIMALS or not number.scaleb(decimals) <= MAX_MULTIPLE:
            reason = f"at most {MAX_DECIMALS} decimals, and be at most {MAX_MULTIPLE} without its point"
            return self._left_out(place.error(f"must have {reason}."))
        self._multiples.append(number)
        return divisor


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _too_far(bound: Any) -> bool:
    return isinstance(bound, int | float) and abs(bound) > LARGEST_BOUND


def _step(place: Place) -> str:
    return str(place.step)


_COUNTABLE = (
    "properties can be counted where all that are listed are required, or where there are no others and 'minProperties'"
    f" or 'maxProperties' is 1 (at most {MAX_COUNTED_PROPERTIES} optional ones)"
)


def _countable(schema: Schema) -> bool:
    required = schema.get("required") or ()
    optional = [name for name in schema.get("properties") or () if name not in required]
    if not optional:
        return True
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    one = schema.get("minProperties", 0) <= 1 and schema.get("maxProperties", 1) == 1
    return closed and one and len(optional) <= MAX_COUNTED_PROPERTIES


_CHECKS: dict[str, Check] = {
    "type": KeywordChecks.check_type,
    "enum": KeywordChecks.check_enum,
    "$ref": KeywordChecks.check_reference,
    "properties": KeywordChecks.check_properties,
    "patternProperties": KeywordChecks.check_pattern_properties,
    "pattern": KeywordChecks.check_pattern,
    "format": KeywordChecks.check_format,
    "required": KeywordChecks.check_required,
    "multipleOf": KeywordChecks.check_multiple,
    **dict.fromkeys(LISTS, KeywordChecks.check_list),
    **dict.fromkeys(COUNTS, KeywordChecks.check_count),
    **dict.fromkeys(BOUNDS, KeywordChecks.check_bound),
}
