"""Writing grammars: llguidance's variant of Lark (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md).

A marker that the vocabulary has as one token is written as that token's number. Marked as a control token it has no
spelling that a grammar's text could match; and where it is an ordinary token, naming it is what lets free text before
it end there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llguidance import regex_to_lark

if TYPE_CHECKING:
    from server.chat.formats.tools import Tool

FREE = "TEXT"
"""Any text without control tokens."""
SPACE = "SPACE?"
"""A little whitespace, or none."""

_TERMINALS = r"""
TEXT: /(.|\n)*/
SPACE: /[ \t\n]{1,2}/
"""

SEPARATORS = {"item_separator": ", ?", "key_separator": ": ?", "whitespace_flexible": False, "coerce_one_of": True}
"""JSON as models write it in one line; whitespace without bounds is where small models get lost."""


LARGEST = 4 * 2**20
"""Characters of a grammar. What clients send may be large, and some formats repeat definitions."""


class GrammarTooLarge(ValueError):
    """The tools' schemas make too much of a grammar."""


class InputNotEnforceable(ValueError):
    """A custom tool has a grammar, and models don't write its input as JSON."""


class LimitNotEnforceable(ValueError):
    """Text is to have no more than so many tokens, and no token ends it."""


class Grammar:
    """A grammar that is being written, rule by rule."""

    def __init__(self, tokens: Mapping[str, int]) -> None:
        """`tokens`: the ids of markers, and parts of them, that are single tokens."""
        self._tokens = tokens
        self._split = re.compile("|".join(map(re.escape, tokens))) if tokens else None
        self._rules: list[str] = []
        self._defined: set[str] = set()
        self._json: dict[str, str] = {}
        """Rules for JSON, by their bodies: compiling them is what takes time."""
        self._size = 0

    def text(self, start: str) -> str:
        """The whole, with this body of its first rule."""
        return "\n".join(["%llguidance {}", f"start: {start}", *self._rules, _TERMINALS])

    def rule(self, name: str, body: str, options: str = "") -> str:
        """Add a rule; returns its name, `name` with a number."""
        name = f"{name}_{len(self._rules)}"
        self._add(f"{name}{options}: {body}")
        return name

    def has_token(self, text: str) -> bool:
        """Whether this is a single token."""
        return text in self._tokens

    def literal(self, text: str) -> str:
        """Exactly this."""
        return _body(self._parts(text))

    def until(self, marker: str, limit: int | None = None, pattern: str | None = None) -> str:
        """A rule for free text that ends with the first `marker`.

        `limit`: tokens, after which the marker must come. Raises LimitNotEnforceable. `pattern`: a regular expression
        that all of the text must match.
        """
        text = r"(.|\n)*" if pattern is None else f"({regex_to_lark(pattern, '')})"
        spelled, rest = self._head(marker)
        if limit == 0:
            return self.rule("until", self.literal(marker))
        if limit is not None and spelled:
            raise LimitNotEnforceable("Where thinking ends is plain text to this model: its length can't be limited.")
        if limit is not None:
            limited = self.rule("limited", FREE, f"[max_tokens={limit}]")
            return self.rule("until", f"{limited} {rest}")
        if rest:
            return self.rule("until", f"/{text}{regex(spelled)}/ {rest}")
        if pattern is not None:  # of which the marker could be a part
            free = rf"(.|\n)*{regex(spelled)}(.|\n)*"
            self._add(f"UNTIL_{len(self._rules)}: (/{text}/ & ~/{free}/) {quoted(spelled)}")
            return f"UNTIL_{len(self._rules) - 1}"
        return self.rule("until", f"/{text}{regex(spelled)}/", "[lazy]")

    def opening(self, marker: str, *, free: bool) -> str:
        """A rule for `marker`, whitespace before it allowed, where something else may come in its place.

        `free`: any text may. Terminals are matched greedily: next to free text, whitespace must be one with what
        follows it, and else it must not be.
        """
        spelled, rest = self._head(marker)
        if not free or not spelled:
            return self.rule("opening", f"{SPACE} {self.literal(marker)}")
        return self.rule("opening", f"/[ \\t\\n]*{regex(spelled)}/ {rest}", "" if rest else "[lazy]")

    def json(self, schema: Mapping[str, Any], *, strict: bool) -> str:
        """A rule for JSON that matches a schema. Unless `strict`, keywords that can't be enforced are ignored."""
        options = {"x-guidance": {**SEPARATORS, "lenient": not strict}}
        body = "%json " + json.dumps({**schema, **options}, ensure_ascii=False)
        if body in self._json:
            self._count(body)
        else:
            self._json[body] = self.rule("json", body)
        return self._json[body]

    def arguments(self, tool: Tool) -> str:
        """A rule for a call's arguments, as JSON."""
        if tool.input_rule is None:
            return self.json(tool.schema, strict=tool.strict)
        (name,) = tool.schema["properties"]
        opening = quoted(f'{{"{name}": "')
        return self.rule("input", f"{opening} {tool.input_rule} {quoted(chr(34) + '}')}")

    def define(self, name: str, body: str) -> str:
        """A rule under exactly this name, once; it may refer to itself, and to others that are yet to come."""
        if name not in self._defined:
            self._defined.add(name)
            self._add(f"{name}: {body}")
        return name

    def listed(self, items: Sequence[tuple[str, bool]], separator: str) -> str:
        """A rule for bodies with a separator between them, in order; False marks those that may be missing."""
        first = rest = '""'
        for body, needed in reversed(items):
            item = self.rule("item", body)
            tail = self.rule("rest", rest) if rest != '""' else ""
            first_body = f"{item} {tail}"
            following = f"{quoted(separator)} {item}" if needed else f"({quoted(separator)} {item})?"
            if not needed:
                first_body += f" | {first}"
            first = self.rule("first", first_body)
            rest = f"{following} {tail}"
        return first

    def one_of(self, name: str, bodies: Iterable[str]) -> str:
        """A rule for any of these."""
        return self.rule(name, " | ".join(self.rule(name, body) for body in bodies))

    def _add(self, rule: str) -> None:
        self._rules.append(rule)
        self._count(rule)

    def _count(self, written: str) -> None:
        """What is written once for several places counts for each: that it is the same is found out by writing it."""
        self._size += len(written)
        if self._size > LARGEST:
            raise GrammarTooLarge("The tools' descriptions are too large to be enforced.")

    def _head(self, marker: str) -> tuple[str, str]:
        """What of the marker is spelled before its first token, and the rest as a rule's body."""
        parts = self._parts(marker)
        spelled = parts.pop(0)[0] if parts and parts[0][1] is None else ""
        return spelled, _body(parts)

    def _parts(self, text: str) -> list[tuple[str, int | None]]:
        """The text, cut at the tokens in it."""
        if self._split is None:
            return [(text, None)] if text else []
        parts: list[tuple[str, int | None]] = []
        at = 0
        for found in self._split.finditer(text):
            if found.start() > at:
                parts.append((text[at : found.start()], None))
            parts.append((found.group(), self._tokens[found.group()]))
            at = found.end()
        if at < len(text):
            parts.append((text[at:], None))
        return parts


def _body(parts: Iterable[tuple[str, int | None]]) -> str:
    return " ".join(quoted(part) if token is None else f"<[{token}]>" for part, token in parts)


def quoted(text: str) -> str:
    """As Lark spells a text: like JSON, but that DEL is no character for it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def regex(text: str) -> str:
    """A regular expression for exactly this text, within slashes."""
    return re.sub(r"[\\^$.|?*+(){}\[\]/#&~-]", r"\\\g<0>", text).replace("\n", r"\n")
