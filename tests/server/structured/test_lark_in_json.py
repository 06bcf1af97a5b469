"""Lark grammars of texts in JSON strings: they match what stands for the texts that the grammars themselves match."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import APIError
from server.structured.lark import lark_rule
from server.structured.lark_in_json import lark_in_json_rule
from server.structured.place import Place

from .matching import compiled, verdict, walk

PLACE = Place("grammar")
PATCH = r"""
start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?
hunk: add_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
update_hunk: "*** Update File: " filename LF change_line+
filename: /(.+)/
add_line: "+" /(.*)/ LF -> line
change_line: ("+" | "-" | " ") /(.*)/ LF
%import common.LF
"""
CASES: list[tuple[str, list[str], list[str]]] = [
    ('start: "a\\n\\"b\\"\\\\" /[0-9]+/', ['a\n"b"\\12'], ["a12", 'a\n"b"\\']),
    (
        PATCH,
        [
            '*** Begin Patch\n*** Add File: a.py\n+print("hi\\n")\n+\n+\tx\n*** End Patch',
            "*** Begin Patch\n*** Update File: a\n-x\n+ \x1b\n*** End Patch\n",
        ],
        ["*** Begin Patch\n*** End Patch", "*** Begin Patch\n*** Add File: \n+x\n*** End Patch"],
    ),
    ('start: WORD ("=" (WORD | STRING))?\nWORD: /[a-z]+/\nSTRING: "\\"" /[^"\\n]*/ "\\""\n%ignore /[ \\t\\n]+/',
     ['a = "b c"', 'a\n=\t"\\é"', "a", 'a=""', 'a = b'], ['a = "b\nc"', 'a = "', '"b"']),
    ("start: A+\nA: ESCAPED_STRING | INT\n%import common (ESCAPED_STRING, INT)", ['"a\\"b"', '1"x"2'], ['"a"b"', '"']),
    ("start: one (NEWLINE one)*\none: SH_COMMENT | /x\\/y/\n%import common.NEWLINE\n%import common.SH_COMMENT",
     ["#a\"\nx/y\r\n#", "x/y"], ["#a\n", "x"]),
    ('start: /"[^"]*";/ | /(a|\\t)+?b{2,3}/ | /[^\\S a]{2}/', ['"\\\n";', "a\tbb", "abbb", "\n\t"],
     ['""', "abbbb", "\na"]),
    ('start: "a\\tb"i /[\\n-z]/ | "\\x22".."\\x23" | T?\nT: ("q" | "\\n")~2..3',
     ["A\tB\n", "a\tb!", '"', "#", "q\n", ""], ["a b!", "q"]),
    ("start: SUB | /\\p{L}+/\nSUB: %regex {\"substring_words\": \"a b c\"}", ["a b", "é"], ["a c", "a\n"]),
    ("start: (/[\\n\\t]+/ /[\\\\\"x]/)+", ["\n\t\"", '\t\\\tx'], ["\n", "x"]),
    ('start[capture]: x*\nx: "(" x ")" | /\\s/', ["(( ))", "\n", "(\t)"], ["("]),
]  # fmt: skip


def inside(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@pytest.mark.parametrize(("grammar", "good", "bad"), CASES)
def test_what_stands_for_the_text(grammar: str, good: list[str], bad: list[str]) -> None:
    rule, plain = lark_in_json_rule(grammar, PLACE), lark_rule(grammar, PLACE)
    for text in good:
        assert verdict(rule, inside(text)) == verdict(plain, text) == "yes", text
    for text in bad:
        assert verdict(rule, inside(text)) != "yes" != verdict(plain, text), text


@pytest.mark.parametrize("grammar", [grammar for grammar, _, _ in CASES])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_written_is_in_a_string(grammar: str, seed: int) -> None:
    """And it is a text of the grammar."""
    written = walk(lark_in_json_rule(grammar, PLACE), seed, n_random=40, n_all=800)
    if written is not None:
        text = json.loads(f'"{written}"')
        assert verdict(lark_rule(grammar, PLACE), text) == "yes", written


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("start: <[1]>", "is a token"),
        ('start: /[^\\p{L}]/', "understood"),
        ('start: /"$/', "understood"),
        ('start: /(?s)./', "understood"),
        ('start: /[\\n&&[^a]]/', "understood"),
        ('start: "a" T\nT: %regex {"substring_words": "a \\"b"}', "%regex"),
        ('start: T\nT: S "\\n"\nS: %regex {"substring_words": "a b"}', "part of a terminal"),
        ('start: "a"\n%ignore /#.*/', "%ignore"),
        ('start: t\nt[stop="\\n"]: /a*/', "attributes"),
        ("start: T\nT: " + " ".join(["/[^a]/"] * 2000), "too large"),
        ("start: T\nT: " + "".join(f"T{i}* T{i}*\nT{i}: " for i in range(30)) + '"\\n"', "too large"),
        ('start: T\nT: "\\n" U | "a"\nU: T', "leads to itself"),
        ("start: nowhere", "no rule"),
    ],
)  # fmt: skip
def test_refused(grammar: str, reason: str) -> None:
    with pytest.raises(APIError, match=reason) as caught:
        lark_in_json_rule(grammar, PLACE)
    assert (caught.value.status, caught.value.param) == (400, "grammar")


WORDS = st.sampled_from(
    ["\n", "a:", "T:", "a", "T", "U:", "U", '"a"', '"\\n"', '"\\""i', '"a".."\\\\"', "/[^a]*/", "/\\s+|a/i",
     "/(a|.)/s", "/[/", "(", ")", "[", "]", "|", "*", "+", "?", "~2", "~ 1..2", "{1,2}", "{,2}", "-> b",
     "%ignore", "%import common.WS",
     "%import common.INT -> U", '%regex {"substring_chars": "ab"}', "[capture]:", '[stop="\\n"]:', "<[3]>"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_garbage_is_refused_or_compiles(words: list[str]) -> None:
    with suppress(APIError):
        rule = lark_in_json_rule("start: a\na: " + " ".join(words), PLACE)
        with suppress(ValueError):  # llguidance may still find what Lark doesn't allow
            compiled(rule)


def test_what_needs_no_escapes_stays() -> None:
    grammar = 'start: NAME ("+" NAME)*\nNAME: /[a-z]+/\n%ignore " "'
    assert "%lark" not in lark_in_json_rule(grammar, PLACE).removeprefix("%lark")
    compiled(lark_in_json_rule(grammar, PLACE))
