"""Grammars in Lark's syntax, as vLLM takes them: whole, as one item of a rule (`%lark {…}`).

llguidance compiles rules recursively, so what a client sends is bounded in how far that can go; the JSON schemas that a
grammar may bring are not looked through here, and so refused.
"""

from __future__ import annotations

import re

from server.structured.place import Place
from server.structured.regex import check_regex

MAX_LENGTH = 64 * 1024
"""Characters of a grammar."""
MAX_RULES = 400
"""Each may refer to the next: 7 KiB of stack."""

_TOKEN = re.compile(
    r"""(?P<comment>(?:\#|//)[^\n]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<regex>/(?:[^/\\]|\\.)+/)
    | (?P<directive>%\w+)
    | (?P<count>(?:\{|~)\s*(?P<low>\d+)(?:\s*(?:,|\.\.)\s*(?P<high>\d+))?)
    | (?P<colon>:)
    | (?P<open>\{) | (?P<close>\})""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_DIRECTIVES = frozenset({"%import", "%ignore", "%regex"})
MAX_COUNT = 10_000


def lark_rule(grammar: str, place: Place) -> str:
    """The body of a rule for text that matches a grammar. Raises a 400."""
    if len(grammar) > MAX_LENGTH:
        raise place.error(f"must be at most {MAX_LENGTH} characters long.")
    n_rules = depth = 0
    for found in _TOKEN.finditer(grammar):
        match found.lastgroup:
            case "regex":
                check_regex(found["regex"][1:-1], place)
            case "directive" if found["directive"] not in _DIRECTIVES:
                raise place.error(f"has {found['directive']}, which is not supported inside of a grammar.")
            case "colon":
                n_rules += 1
            case "open":
                depth += 1
            case "close":
                depth -= 1
        if found["count"]:
            depth += found["count"].startswith("{")
            if max(len(found["low"]), len(found["high"] or "")) > 5:
                raise place.error(f"repeats more than {MAX_COUNT} times: {found['count'][:40]}.")
        if depth < 0:
            raise place.error("has a '}' that closes nothing.")
    if depth:
        raise place.error("has a '{' that is not closed.")
    if n_rules > MAX_RULES:
        raise place.error(f"must have at most {MAX_RULES} rules.")
    return f"%lark {{\n{grammar}\n}}"
