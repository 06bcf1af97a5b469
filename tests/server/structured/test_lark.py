"""Grammars in Lark's syntax: what they match, and what is refused of them."""

from __future__ import annotations

import pytest

from server.errors import APIError
from server.structured.lark import MAX_LENGTH, lark_rule
from server.structured.place import Place

from .matching import compiled, fits

PLACE = Place("grammar")


def rule(grammar: str) -> str:
    return lark_rule(grammar, PLACE)


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('start: "a" "b" | "c"', ["ab", "c"], ["abc", ""]),
        ('start: "a"\n  | "b"\n\n  // and\n  | "c" # that is all', ["a", "b", "c"], ["ab"]),
        ('start: ("a" | "b")+ ["c"] "d"?', ["aba", "bcd", "ad"], ["c"]),
        ('start: "a"{2} "b"{1,2} "c"{,1} "d"{1,}', ["aabd", "aabbcddd"], ["abd"]),
        ('start: "a"~2 "b" ~ 1..2', ["aab", "aabb"], ["aabbb"]),
        ('start: WORD (", " WORD)*\nWORD: LETTER+\nLETTER: "a".."z"', ["ab", "a, b"], ["A"]),
        ("%import common.INT\n%import common (WORD, WS_INLINE)\nstart: WORD INT\n%ignore WS_INLINE", ["a 12"], ["1"]),
        ("%import common.INT -> NUMBER\nstart: NUMBER", ["12"], ["x"]),
        ('?start: one -> first\n!one: "x"i', ["x", "X"], ["y"]),
        ('start: /a\\/[b\\/]+/ "," /[A-Z]x/i', ["a/b/,bx", "a/b,BX"], ["a"]),
        ('start[capture]: text\ntext[suffix="!", capture="t"]: /[a-z]*/', ["ab!"], ["ab"]),
        ('start: "a" start "b" | ""', ["", "aabb"], ["aab"]),
        ('start: SUB\nSUB: %regex {"substring_words": "a b c"}', ["a b"], ["a c"]),
        ('start: "\\u00e9\\n\\"//#" ', ['é\n"//#'], ["é"]),
        ('start: "|" ")" "}" "&" "~" /&~/', ["|)}&~&~"], ["|"]),
    ],
)
def test_matches(grammar: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert fits(rule(grammar), text), text
    for text in bad:
        assert not fits(rule(grammar), text), text


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("start: T\nT: /(.{7})*x/ & /(.{8})*x/", "'&'"),
        ("start: T\nT: (/a/ & /b/)", "'&'"),
        ("start: T\nT: ~/a/", "'~'"),
        ('start: T\nT: "b" ~ ("a")', "number' is missing"),
        ("start: /(a{1000} # )\n{1000}/x", "'x'"),
        ("start: /(a{1000}){1000}/", "repeats too much"),
        ('start: %json {"not": {}}', "%json"),
        ("start: %lark { start: a }", "%lark"),
        ("start: a\na: %llguidance {}", "%llguidance"),
        ('start: r::0\nr::_: "a" r::incr(_) | ""', "line 2: this can't be read"),
        ('start: "a" }\nx: "b"', "line 1: this closes nothing"),
        ('start: ("a"\nx: "b"', "'\\)' is missing"),
        ('start: "a"{2', "'}' is missing"),
        ('start: "a"{1000000}', "repeats more"),
        ('start: "a"{-1}', "counted to"),
        ('start: "a"~1..1000000', "repeats more"),
        ('start: "a"\nstart: "b"', "another rule 'start'"),
        ("start: b", "there is no rule 'b'"),
        ('a: "b"', "no rule 'start'"),
        ('start "b"', "':' is missing"),
        ('start: "b', "line 1: this can't be read"),
        ('start: "a"\nx: /b', "line 2: this can't be read"),
        ("start: @other", "can't be read"),
        ("start: %regex {", "no JSON"),
        ("start: %regex " + "[" * 60_000, "no JSON"),
        ("start: " + "(" * 60 + '"a"' + ")" * 60, "nested"),
        ("\n".join(f"r{i}: r{i + 1}" for i in range(500)), "rules"),
        ("x" * (MAX_LENGTH + 1), "long"),
    ],
)
def test_refused(grammar: str, reason: str) -> None:
    with pytest.raises(APIError, match=reason) as caught:
        rule(grammar)
    assert (caught.value.status, caught.value.param) == (400, "grammar")


def test_nothing_is_cut_in_another_way() -> None:
    """What llguidance would see as a comment, or a longer token, is what was looked at."""
    for grammar in ('start: "a"+\n\n\n# x\ny: "b"', 'start:"a"?"b"\n', "start:/a//b/"):
        compiled(rule(grammar))
