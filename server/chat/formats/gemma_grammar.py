"""Grammars for Gemma's values, by their JSON schema: bare keys, strings between tokens."""

from __future__ import annotations

from collections.abc import Mapping

from server.chat.formats.grammar import Grammar, quoted
from server.chat.formats.schema import Schema, choices, resolved, types, whole_pattern

_DEEPEST = 8
"""Nesting for which the schema is followed; below it any value will do."""


def write_object(grammar: Grammar, schema: Schema, quote: str, *, strict: bool) -> str:
    """The body of a rule for an object, its members sorted by name."""
    return _Values(grammar, quote, schema, strict=strict).members(schema, 0)


class _Values:
    def __init__(self, grammar: Grammar, quote: str, root: Schema, *, strict: bool) -> None:
        self._grammar = grammar
        self._mark = quote
        self._quote = grammar.literal(quote)
        self._string = f"{self._quote} {grammar.until(quote)}"
        self._root = root
        self._strict = strict

    def members(self, schema: Schema, depth: int) -> str:
        members = schema.get("properties")
        if not isinstance(members, Mapping) or not members:
            return '"{}"' if schema.get("additionalProperties") is False else self._any("object")
        needed = schema.get("required")
        needed = needed if isinstance(needed, list) else []
        items = [
            (f"{quoted(f'{name}:')} {self._value(member, depth + 1)}", name in needed)
            for name, member in sorted(members.items())
        ]
        return f'"{{" {self._grammar.listed(items, ",")} "}}"'

    def _value(self, schema: object, depth: int) -> str:
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return self._any("value")
        schema = resolved(schema, self._root)
        allowed = types(schema, self._root)
        if not allowed or len(allowed) > 1 + ("null" in allowed):
            return self._any("value")
        ways = [self._of_type(kind, schema, depth) for kind in sorted(allowed)]
        return self._grammar.rule("value", " | ".join(ways))

    def _of_type(self, kind: str, schema: Schema, depth: int) -> str:
        listed = choices(schema)
        if kind == "string":
            if listed is None and (pattern := whole_pattern(schema)) is not None:
                return f"{self._quote} {self._grammar.until(self._mark, pattern=pattern)}"
            if listed is None:
                return self._string
            return " | ".join(f"{self._quote} {quoted(str(value))} {self._quote}" for value in listed)
        if kind == "object":
            return self.members(schema, depth)
        if kind == "array":
            item = self._value(schema.get("items"), depth + 1)
            return f'"[" ({item} ("," {item})*)? "]"'
        return self._grammar.json({**schema, "type": kind}, strict=self._strict)

    def _any(self, what: str) -> str:
        """Any value, or any object."""
        define = self._grammar.define
        define("gemma_value", f"gemma_object | gemma_array | {self._string} | gemma_scalar")
        define("gemma_object", '"{" (gemma_member ("," gemma_member)*)? "}"')
        define("gemma_member", r'/[^:{}\[\],<>"\n ]+/ ":" gemma_value')
        define("gemma_array", '"[" (gemma_value ("," gemma_value)*)? "]"')
        define("gemma_scalar", '%json {"type": ["number", "boolean", "null"]}')
        return f"gemma_{what}"
