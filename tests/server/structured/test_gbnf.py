"""llama.cpp's grammars: what they match, compared with the same read character by character."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import APIError
from server.structured import gbnf
from server.structured.gbnf import gbnf_rule
from server.structured.gbnf_terminals import Terminals
from server.structured.place import Place

from .matching import fits, verdict, walk

PLACE = Place("grammar")


def rule(grammar: str) -> str:
    return gbnf_rule(grammar, PLACE)


JSON = r"""
# JSON, with a little whitespace
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws (
    value        # the first
    ("," ws value)*
  )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= [ab]* "ab"', ["ab", "babab"], ["aba"]),
        (JSON, ['{"a": [1, -2.5e3, "é\\u00e9"], "b": {}}', "{}"], ["[1]", '{"a"}']),
        ('root ::= "a" | "b" "c"', ["a", "bc"], ["ac", ""]),
        ('root ::= "a"\n  | "b"', ["a", "b"], ["ab"]),
        ('root ::=\n  "a" other\nother ::= "b"', ["ab"], ["a"]),
        ('root ::= name "s"\nname ::= [a-z]+', ["cats", "ss"], ["cat", "s"]),
        ('root ::= [a-z]* [0-9a-f]* "!"', ["zzaf09!", "!"], ["0z!"]),
        ('root ::= [ \\t]* "x" [ \\t]* [ \\t]* "y"', ["  x   y", "xy"], ["x"]),
        ('root ::= ([a-z] | "if")* ";"', ["xif;"], ["x"]),
        ('root ::= ("a" | "ab") "c"', ["abc", "ac"], ["bc"]),
        ('root ::= ("ab"){2,} "c"{0} "d"{0,0} "e"{2} "f"{1,2}', ["ababeef", "abababeeff"], ["abeef", "ababeefff"]),
        ("root ::= [^\\n]+ .", ["ab\n", "abc"], ["\n"]),
        ("root ::= [ぁ-ゟ]+ [^ぁ-ゟ]", ["ぁあa"], ["ab"]),
        ('root ::= "\\x41\\u00e9\\U0001F600\\t\\"\\\\\\[\\]"', ['Aé😀\t"\\[]'], ["A"]),
        ("root ::= [\\x41-\\x43\\u00e9\\]\\[\\\\-]+", ["ABé][\\-"], ["D"]),
        ("root ::= [a&&b~~c|]+", ["a&~|"], ["--"]),
        ("root ::= [^]", ["\n"], ["ab"]),
        ('root ::= "a\nb" "\x7f"', ["a\nb\x7f"], ["ab"]),
        ('root ::= fooBar foo-bar foo_bar Foo 1st\nfooBar ::= "1"\nfoo-bar ::= "2"\nfoo_bar ::= "3"\n'
         'Foo ::= "4"\n1st ::= "5"', ["12345"], ["1"]),
        ('root ::= "(" root ")" | ""', ["", "(())"], ["(()"]),
        ('root ::= root "a" | "b"', ["baa"], ["a"]),
        ('root ::= x\nx ::= "a"\nx ::= "b"', ["b"], ["a"]),
        ('root ::= ""', [""], ["a"]),
        ("root ::= ", [""], ["a"]),
        ('root ::= ws "x" ws\nws ::= ', ["x"], [" x"]),
        ('\r\n# first\r\nroot ::= "a" # then\r\n\r\n', ["a"], ["b"]),
    ],
)  # fmt: skip
def test_matches(grammar: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert fits(rule(grammar), text), verdict(rule(grammar), text)
    for text in bad:
        assert not fits(rule(grammar), text), text


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("", "no rule 'root'"),
        ('start ::= "a"', "no rule 'root'"),
        ('root ::= "a"\n\nother ::= missing', "line 3: there is no rule 'missing'"),
        ('root = "a"', "line 1: this can't be read"),
        ('root ::= "a', "can't be read"),
        ("root ::= [a", "can't be read"),
        ("root ::= 'a'", "can't be read"),
        ("root ::= a$", "can't be read"),
        ("root", "'::=' is missing"),
        ('::= "a"', "a rule's name is missing"),
        ('root ::= "a" b ::= "c"', "a rule begins here"),
        ('root ::= ("a"', "a '\\)' is missing"),
        ('root ::= ("a"\nb ::= "c"', "a '\\)' is missing|a rule"),
        ('root ::= "a")', "at '\\)'"),
        ("root ::= *", "nothing to repeat"),
        ("root ::= (| *)", "nothing to repeat"),
        ('root ::= "a"{3,2}', "more than at most"),
        ('root ::= "a"' + "*" * 60_000, "repetitions of the same"),
        ("root ::= " + "(" * 40 + '"a"' + ")????" * 40, "repetitions of the same"),
        ('root ::= "a"{10001}', "counted to"),
        ('root ::= "a"{1,' + "9" * 5000 + "}", "counted to"),
        ('root ::= "a"{x}', "can't be read"),
        ("root ::= [b-a]", "wrong way round"),
        ("root ::= []", "no character"),
        ('root ::= "\\q"', "escape is not known"),
        ('root ::= "\\x4"', "escape is not known"),
        ('root ::= "\\ud800"', "no character"),
        ('root ::= "\\U00110000"', "no character"),
        ("root ::= <think>", "tokens"),
        ("root ::= !<[1000]>", "tokens"),
        ("root ::= " + "(" * 60 + '"a"' + ")" * 60, "nested"),
        ("(" * 100_000, "missing"),
        ("#" * (gbnf.MAX_LENGTH + 1), "long"),
        ("root ::= r0\n" + "".join(f'r{i} ::= "a" r{i + 1}\n' for i in range(500)) + 'r500 ::= "b"', "deep"),
        ("root ::= r1" + "".join(f" r{i}" for i in range(2001)) + "".join(f'\nr{i} ::= "b"' for i in range(2001)),
         "rules"),
    ],
)  # fmt: skip
def test_refused(grammar: str, reason: str) -> None:
    with pytest.raises(APIError, match=reason) as caught:
        rule(grammar)
    assert (caught.value.status, caught.value.param) == (400, "grammar")


def test_terminals_are_found() -> None:
    """Strings, numbers and whitespace of JSON, without which each token would take a hundred times as long."""
    written = rule(JSON)
    rules = [line for line in written.splitlines() if line.startswith("r")]
    assert len(rules) == 7 and not any("/" in line for line in rules), rules


LETTERS = st.sampled_from(["a", "b", "ab", "ba", "", "c"])
ATOMS = st.one_of(
    LETTERS.map(lambda text: f'"{text}"'),
    st.sampled_from(["[a-b]", "[^a]", "[ab]", "[c]", ".", "x", "y", "root-2"]),
)
COUNTS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}"])


def _nested(inner: Any) -> Any:
    several = st.lists(st.tuples(inner, COUNTS).map("".join), min_size=1, max_size=3)
    return st.one_of(several.map(" ".join).map("({})".format), several.map(" | ".join).map("({})".format))


BODIES = st.recursive(ATOMS, _nested, max_leaves=8)
GRAMMARS = st.builds('root ::= {}\nx ::= {} | "c"\ny ::= {} | "b"\nroot-2 ::= "(" root ")" | "a"'.format, *[BODIES] * 3)


@settings(max_examples=200, deadline=None)
@given(GRAMMARS, st.integers(0, 2**32))
def test_terminals_change_nothing_that_can_be_seen(grammar: str, seed: int) -> None:
    """What they allow is allowed character by character too, and never leads nowhere."""
    by_terminals = rule(grammar)
    text = walk(by_terminals, seed, n_random=12, n_all=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Terminals, "fits", lambda *_: False)
        by_characters = rule(grammar)
    if text is not None:
        assert fits(by_characters, text), (grammar, text)
