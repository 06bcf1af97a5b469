"""Regular expressions from clients."""

from __future__ import annotations

import pytest

from server.errors import APIError
from server.structured.place import Place
from server.structured.regex import MAX_DEPTH, MAX_LENGTH, MAX_SIZE, check_regex, regex_rule

from .matching import fits

PLACE = Place("regex")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("[a-z]+", ["abc"], ["", "a1"]),
        ("^abc$", ["abc"], ["xabc", "abcd"]),
        (r"(\d{3})-(?:\d|x){2,4}", ["123-4x"], ["12-4x", "123-4"]),
        (r"a/b\/c", ["a/b/c"], ["a/b"]),
        (r"(?P<year>\d+)|(?<word>\w+)", ["2024", "é"], ["-"]),
        (r"(?i)yes|no", ["YES", "no"], ["maybe"]),
        (r"(?i:yes)", ["YES"], ["no"]),
        (r"[^\]\\]+", ["ab[\n"], ["a]"]),
        (r"[]a]{2}", ["]a"], ["]"]),
        (r"\p{L}\x{e9}\u0041", ["ééA"], ["1éA"]),
        ("a b\tc\nd", ["a b\tc\nd"], ["abcd"]),
        ("a{0,300}b", ["b", "a" * 300 + "b"], ["a" * 301 + "b"]),
        (".{0,10000}", ["x" * 50], ["\n"]),
    ],
)
def test_whole_outputs(pattern: str, good: list[str], bad: list[str]) -> None:
    rule = regex_rule(pattern, PLACE)
    for text in good:
        assert fits(rule, text), text
    for text in bad:
        assert not fits(rule, text), text


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(?=b)", "lookaround at 1"),
        ("(?!a)", "lookaround"),
        ("(?<=a)b", "lookaround"),
        ("(?<!a)b", "lookaround"),
        (r"(a)\1", "backreference at 3"),
        (r"(?P<x>a)(?P=x)", "of a kind"),
        (r"(?>a)", "of a kind"),
        ("(?x)a b", "of a kind"),
        (r"\bword\b", r"\\b at 0"),
        (r"a\Z", r"\\Z"),
        ("(a", "not closed"),
        ("a)", "closes no group"),
        ("[a", "not closed"),
        ("a\\", "backslash"),
        ("", "empty"),
        ("a" * (MAX_LENGTH + 1), "long"),
        ("(" * (MAX_DEPTH + 1) + ")" * (MAX_DEPTH + 1), "nested"),
        ("(a{1000}){1000}", "repeats too much"),
        ("((a|bc){1,100}d){0,100}", "repeats too much"),
        (f"a{{{MAX_SIZE + 1}}}", "repeats too much"),
        ("a{99999999999999999999}", "repeats too much"),
        ("a{" + "9" * 5000 + "}", "repeats too much"),
        ("(a{ 1000 }){ 1000 , }", "repeats too much"),
        ("a{1000}" * 11, "repeats too much"),
        ("[[](a{1000}){1000}", "repeats too much"),
    ],
)
def test_refused(pattern: str, reason: str) -> None:
    with pytest.raises(APIError, match=reason) as caught:
        regex_rule(pattern, PLACE)
    assert (caught.value.status, caught.value.param) == (400, "regex")


def test_long_ones_are_quick() -> None:
    for pattern in ("[" * MAX_LENGTH, "(?:" * (MAX_LENGTH // 3), "a{9}" * (MAX_LENGTH // 4), "\\" * MAX_LENGTH):
        with pytest.raises(APIError):
            check_regex(pattern + "(", PLACE)
