"""Grammars in Lark's syntax, as vLLM takes them: whole, as one item of a rule (`%lark {…}`).

llguidance compiles rules recursively, so what a client sends is bounded in how far that can go; the JSON schemas that a
grammar may bring are not looked through here, and so refused.
"""

from __future__ import annotations

from server.structured.lark_syntax import LarkReader
from server.structured.lark_tokens import Token, tokens, written
from server.structured.place import Place
from server.structured.shortest import TooLong, check_shortest

MAX_LENGTH = 64 * 1024
"""Characters of a grammar."""


def lark_rule(grammar: str, place: Place) -> str:
    """The body of a rule for text that matches a grammar. Raises a 400."""
    return f"%lark {{\n{written(checked(grammar, place))}\n}}"


def checked(grammar: str, place: Place) -> list[Token]:
    """The grammar as tokens. Raises a 400."""
    if len(grammar) > MAX_LENGTH:
        raise place.error(f"must be at most {MAX_LENGTH} characters long.")
    found = tokens(grammar, place)
    rules = LarkReader(grammar, found, place).rules()
    try:
        check_shortest(rules)
    except TooLong as error:
        raise place.error(f"has a rule '{str(error.rule)[:40]}' that {error}.") from None
    return found
