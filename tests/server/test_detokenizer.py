"""Any split of any bytes into tokens gives the text that Python gives for the whole."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backends.base import TokenizerInfo
from server.text.detokenizer import Detokenizer, detokenize


def vocabulary(pieces: list[bytes], control: frozenset[int] = frozenset()) -> TokenizerInfo:
    return TokenizerInfo(
        pieces=pieces,
        control_tokens=control,
        eog_tokens=frozenset(),
        bos=None,
        eos=None,
        eot=None,
        add_bos=False,
        add_eos=False,
        fim_prefix=None,
        fim_suffix=None,
        fim_middle=None,
        fim_pad=None,
        fim_repo=None,
        fim_separator=None,
    )


def test_an_emoji_over_four_tokens_appears_once_and_whole() -> None:
    info = vocabulary([bytes([b]) for b in "🦙".encode()])
    detokenizer = Detokenizer(info)
    assert [detokenizer.push(t) for t in range(4)] == ["", "", "", "🦙"]
    assert not detokenizer.pending
    assert detokenizer.finish() == ""


def test_an_unfinished_character_ends_as_one_replacement() -> None:
    detokenizer = Detokenizer(vocabulary([b"a\xf0\x9f", b"\xa6"]))
    assert detokenizer.push(0) == "a"
    assert detokenizer.push(1) == ""
    assert detokenizer.pending
    assert detokenizer.finish() == "\ufffd"


def test_control_tokens_show_only_when_asked_for() -> None:
    info = vocabulary([b"<|im_end|>", b"hi"], frozenset({0}))
    assert detokenize(info, [1, 0, 1]) == "hihi"
    assert detokenize(info, [1, 0, 1], special=True) == "hi<|im_end|>hi"


def test_some_tokens_may_be_shown_as_something_else() -> None:
    info = vocabulary([b"<|im_end|>", b"<think>", b"hi", b"\xf0"], frozenset({0, 1}))
    detokenizer = Detokenizer(info, instead={1: "T", 2: "H"})
    assert [detokenizer.push(token) for token in (1, 2, 0, 3, 1)] == ["T", "H", "", "", "\ufffdT"]


def test_a_leading_space_is_kept() -> None:
    assert detokenize(vocabulary([b" Paris"]), [0]) == " Paris"


mostly_text = st.lists(st.one_of(st.binary(max_size=4), st.text(max_size=4).map(str.encode)), max_size=20).map(b"".join)


@given(st.one_of(mostly_text, st.binary()), st.lists(st.integers(0, 60), max_size=12))
def test_any_split_gives_the_same_text(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert detokenize(vocabulary(pieces), range(len(pieces))) == data.decode("utf-8", "replace")


@given(st.text())
def test_text_never_shows_a_broken_character_on_the_way(text: str) -> None:
    data = text.encode()
    detokenizer = Detokenizer(vocabulary([bytes([b]) for b in range(256)]))
    shown = "".join(detokenizer.push(b) for b in data)
    assert shown == data.decode()
