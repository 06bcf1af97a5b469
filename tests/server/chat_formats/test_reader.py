"""Reading text in pieces as if it were whole, and holding back what may be the start of a marker."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.formats.markers import Markers
from server.chat.formats.reader import Malformed, Reader, Steps, transcribed

WORD = re.compile(r"[a-z]*")


def run(steps: Steps[str | None], reader: Reader, pieces: list[str]) -> tuple[str | None, int]:
    """What the reading returns, and after how many pieces (one more: only at the end)."""
    for count, piece in enumerate(pieces, 1):
        reader.push(piece)
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
    reader.end()
    with pytest.raises(StopIteration) as stopped:
        next(steps)
    return stopped.value.value, len(pieces) + 1


@pytest.mark.parametrize(
    ("pieces", "found", "after"),
    [
        (["ab"], "ab", 2),
        (["a", "b", "x"], "ab", 3),
        (["a", "x"], None, 2),
        (["x"], None, 1),
        (["abc", "d"], "abcd", 2),
        (["abc", "x"], "ab", 2),
        (["abc"], "ab", 2),
        (["a"], None, 2),
    ],
)
def test_literal_waits_only_while_undecided(pieces: list[str], found: str | None, after: int) -> None:
    reader = Reader()
    assert run(reader.literal("ab", "abcd"), reader, pieces) == (found, after)


def test_run_ends_where_it_ends() -> None:
    reader = Reader()
    assert run(reader.run(WORD), reader, ["ab", "c", "1d"]) == ("abc", 3)
    assert next(reader.peek(), "1") == "1"


def test_run_has_a_limit() -> None:
    reader = Reader()
    reader.push("abc")
    with pytest.raises(Malformed):
        next(reader.run(WORD, 2))


def test_rewind_goes_back_to_what_was_committed() -> None:
    reader = Reader()
    assert run(reader.literal("ab"), reader, ["ab"]) == ("ab", 1)
    reader.commit()
    assert run(reader.literal("cd"), reader, ["c", "d"]) == ("cd", 2)
    reader.rewind()
    assert run(reader.literal("cde"), reader, ["e"]) == ("cde", 1)


@pytest.mark.parametrize(
    ("pieces", "end", "expected", "after"),
    [
        ([" ", "\n<a>"], False, True, 2),
        ([" ", "\n<b"], False, False, 2),
        (["  <", "a", ">"], False, True, 3),
        (["  "], False, False, 2),
        (["  "], True, True, 2),
        (["  <"], True, False, 2),
    ],
)
def test_before_looks_ahead(pieces: list[str], end: bool, expected: bool, after: int) -> None:
    reader = Reader()
    assert run(reader.before("<a>", end=end), reader, pieces) == (expected, after)  # type: ignore[arg-type]  # others are texts
    assert reader.left


small = st.text("<a>/b", max_size=12)


@given(st.lists(small, max_size=6), st.sets(st.sampled_from(["<a>", "</a>", "ab", "<b"]), min_size=1))
def test_until(pieces: list[str], texts: set[str]) -> None:
    """All before the first marker is written, and at any time only what may be the start of one is not."""
    markers = Markers(texts)
    reader = Reader()
    written: list[str] = []
    steps = reader.until(markers, written.append)
    whole = ""
    for piece in pieces:
        whole += piece
        reader.push(piece)
        if next(steps, "done") == "done":
            break
        held = whole[len("".join(written)) :]
        assert held == "" or any(text.startswith(held) and text != held for text in texts)
        assert not any(text in whole for text in texts)
    else:
        reader.end()
        next(steps, None)
    first = min((whole.find(text) for text in texts if text in whole), default=len(whole))
    assert "".join(written) == whole[:first]


def test_transcribed_takes_all_or_nothing() -> None:
    def word(reader: Reader, write: object) -> Steps[None]:
        assert callable(write)
        write((yield from reader.run(WORD)))

    assert transcribed(" ab\n", word) == "ab"
    assert transcribed("ab 1", word) is None
