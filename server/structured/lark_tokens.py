"""Lark's syntax, cut into tokens, as llguidance cuts it (https://github.com/guidance-ai/llguidance,
`parser/src/lark/lexer.rs`).

A token begins where the last has ended, and what can't be one is refused: no text is searched for where another may
begin. Nothing in the expressions gives back what it has taken, so the time grows with the text's length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from server.structured.place import Place

_TOKEN = re.compile(
    r"""(?P<space>[ \t]++|(?:\#|//)[^\n]*+)
    | (?P<newline>(?:\r?+\n)++)
    | (?P<string>"(?:[^"\\\x00-\x1f\x7f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}))*+"i?)
    | (?P<regex>/(?:[^/\\]|\\.)++/[imslux]*+)
    | (?P<directive>%\w++)
    | (?P<number>[+-]?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?)
    | (?P<name>!?[_?]?[a-z][_a-z0-9-]*+|_?[A-Z][_A-Z0-9-]*+)
    | (?P<special><[^<>\s]++>)
    | (?P<mark>->|::|\.\.|[:,.(){}\[\]~|&=?*+])""",
    re.VERBOSE | re.ASCII,
)
_ALLOWED = frozenset({"%import", "%ignore", "%regex"})
_DECODER = json.JSONDecoder()
_SHOWN = 30


class Token(NamedTuple):
    kind: str
    """A group of the expression above; "value": the JSON after `%regex`; "end"."""
    text: str
    at: int


def tokens(grammar: str, place: Place) -> list[Token]:
    """Without comments, and with one newline for several. Raises a 400."""
    found: list[Token] = []
    for token in _tokens(grammar, place):
        if token.kind != "newline":
            found.append(token)
        elif found and found[-1].kind != "newline":
            found.append(Token("newline", "\n", token.at))
    return found


def written(tokens: list[Token]) -> str:
    """The grammar again, so that llguidance can't cut it in another way."""
    return " ".join(token.text for token in tokens)


def _tokens(grammar: str, place: Place) -> Iterator[Token]:
    at = 0
    while at < len(grammar):
        found = _TOKEN.match(grammar, at)
        if found is None or found.lastgroup is None:
            raise unreadable(grammar, at, "this can't be read", place)
        if found.lastgroup == "directive" and found[0] not in _ALLOWED:
            raise place.error(f"has {found[0][:_SHOWN]}, which is not supported inside of a grammar.")
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found[0], at)
        at = found.end()
        if found[0] == "%regex":
            value, end = _value(grammar, at, place)
            yield Token("value", value, at)
            at = end
    yield Token("end", "", at)


def _value(grammar: str, at: int, place: Place) -> tuple[str, int]:
    """The JSON that begins here, and where it ends."""
    while at < len(grammar) and grammar[at] in " \t\r\n":
        at += 1
    try:
        value, end = _DECODER.raw_decode(grammar, at)
    except (ValueError, RecursionError):
        raise unreadable(grammar, at, "this is no JSON", place) from None
    return json.dumps(value), end


def unreadable(grammar: str, at: int, reason: str, place: Place) -> Exception:
    """A 400 that shows the place in the grammar."""
    line = grammar.count("\n", 0, at) + 1
    return place.error(f"is not a grammar: line {line}: {reason}, at {grammar[at : at + _SHOWN]!r}.")
