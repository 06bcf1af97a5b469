"""Stop strings: the result doesn't depend on how the text was cut, and no start of one leaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.text.stop import StopMatcher, StopStrings


def run(pieces: list[str], stops: list[str]) -> tuple[list[str], str | None]:
    matcher = StopMatcher(StopStrings(stops))
    shown = [matcher.push(piece) for piece in pieces]
    return [*shown, matcher.finish()], matcher.matched


def reference(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The rule, spelled out: first completing character, then the longest string."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


@pytest.mark.parametrize(
    ("pieces", "stops", "shown", "matched"),
    [
        (["Hello", " wor", "ld", "!"], [], ["Hello", " wor", "ld", "!", ""], None),
        (["one\n", "\ntwo"], ["\n\n"], ["one", "", ""], "\n\n"),
        (["one\n", "two"], ["\n\n"], ["one", "\ntwo", ""], None),
        (["a<|", "im_", "end|>b"], ["<|im_end|>"], ["a", "", "", ""], "<|im_end|>"),
        (["a<|", "im_"], ["<|im_end|>"], ["a", "", "<|im_"], None),
        (["aab"], ["ab"], ["a", ""], "ab"),
        (["a", "a", "b"], ["ab"], ["", "a", "", ""], "ab"),
        (["xEND and STOP"], ["STOP", "END"], ["x", ""], "END"),
        (["abcd"], ["abcd", "bc"], ["a", ""], "bc"),
        (["abc"], ["c", "bc"], ["a", ""], "bc"),
        (["é🦙", "é"], ["🦙é"], ["é", "", ""], "🦙é"),
        (["abc"], [""], ["abc", ""], None),
    ],
)
def test_examples(pieces: list[str], stops: list[str], shown: list[str], matched: str | None) -> None:
    assert run(pieces, stops) == (shown, matched)


def test_nothing_is_shown_after_a_match() -> None:
    matcher = StopMatcher(StopStrings(["."]))
    assert [matcher.push("a."), matcher.push("b"), matcher.finish()] == ["a", "", ""]


alphabet = st.text("abc", max_size=30)


@given(st.lists(alphabet, max_size=12), st.lists(st.text("abc", max_size=5), max_size=4))
def test_any_split_gives_the_same_result(pieces: list[str], stops: list[str]) -> None:
    shown, matched = run(pieces, stops)
    assert ("".join(shown), matched) == reference("".join(pieces), stops)


@given(alphabet, st.lists(st.text("abc", min_size=1, max_size=5), max_size=4))
def test_exactly_what_could_begin_a_stop_string_is_held(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(StopStrings(stops))
    shown = ""
    for end, character in enumerate(text, 1):
        shown += matcher.push(character)
        if matcher.matched is not None:
            return
        seen = text[:end]
        starts = [stop[:k] for stop in stops for k in range(1, len(stop))]
        held = max((len(start) for start in starts if seen.endswith(start)), default=0)
        assert shown == seen[: end - held]
