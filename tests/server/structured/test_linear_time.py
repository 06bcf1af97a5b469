"""Whatever a client sends, the time to cut it into tokens grows with its length, and not with the square of that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import process_time

import pytest

from server.errors import APIError
from server.structured.gbnf_syntax import GbnfError, read
from server.structured.lark import lark_rule
from server.structured.place import Place
from server.structured.regex import check_regex

PLACE = Place("x")
TIMES = 16
MOST = 4 * TIMES
"""Of a text so many times as long; the square is four times more than this."""


def regex(text: str) -> None:
    check_regex(text, PLACE)


def lark(text: str) -> None:
    lark_rule(text, PLACE)


def gbnf(text: str) -> None:
    read(text)


HOSTILE: dict[str, tuple[Callable[[str], None], int, Callable[[int], str]]] = {
    "regex: a count's spaces": (regex, 40, lambda n: "a{" + " " * n + "," + " " * n),
    "regex: counts that don't end": (regex, 400, lambda n: "{1" * n),
    "regex: escapes that don't end": (regex, 300, lambda n: "\\p{" * n),
    "regex: a class": (regex, 900, lambda n: "[" + "\\a" * (n // 2)),
    "regex: a class in a class": (regex, 300, lambda n: "[[]" * n),
    "regex: a name": (regex, 900, lambda n: "(?P<" + "a" * n),
    "regex: flags": (regex, 450, lambda n: "(?" + "a" * n + "-" * n),
    "lark: a string": (lark, 500, lambda n: '"' + '\\"' * n),
    "lark: strings": (lark, 500, lambda n: '"\\q' * n),
    "lark: a regular expression": (lark, 500, lambda n: "/" + "\\/" * n),
    "lark: a special token": (lark, 500, lambda n: "<" * n),
    "lark: JSON": (lark, 500, lambda n: "%regex " + " " * n),
    "lark: newlines": (lark, 500, lambda n: "\n\r" * n),
    "gbnf: a count's spaces": (gbnf, 500, lambda n: 'root ::= "a"{1,' + "\n" * n),
    "gbnf: a count without a comma": (gbnf, 500, lambda n: 'root ::= "a"{1' + "\n" * n),
    "gbnf: characters": (gbnf, 4000, lambda n: "root ::= [" + "ab" * (n // 2) + "]"),
    "gbnf: a literal": (gbnf, 500, lambda n: 'root ::= "' + '\\"' * n),
    "gbnf: tokens": (gbnf, 500, lambda n: "root ::= " + "<" * n),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_time_grows_with_the_length(case: str) -> None:
    cut, size, text = HOSTILE[case]
    short = _best(cut, text(size))
    long = _best(cut, text(size * TIMES))
    assert long < MOST * max(short, 5e-6)


def _best(cut: Callable[[str], None], text: str) -> float:
    """Seconds of the fastest of some runs."""
    taken = []
    for _ in range(5):
        began = process_time()
        with suppress(APIError, GbnfError):
            cut(text)
        taken.append(process_time() - began)
    return min(taken)
