"""A prediction and a sequence's own text, followed: what is guessed, and how soon after a difference."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.llama_cpp.speculation.acceptance import N_LEVELS, Acceptance
from backends.llama_cpp.speculation.lookup import PromptLookup
from backends.llama_cpp.speculation.prediction import Foretold, Prediction

TEXT = random.Random(7).choices(range(3, 400), k=300)
STRANGE = 1000
LATE = 3
"""Tokens by which a place may be found late, because the index has lost a run or two."""


def belief() -> Acceptance:
    return Acceptance((0.5,) * N_LEVELS)


def surprises(prediction: list[int], answer: list[int]) -> list[int]:
    """Where the answer was not what was guessed."""
    follower = Prediction(Foretold(prediction), belief())
    return [i for i, token in enumerate(answer) if not follower.accept(token)]


def test_a_right_prediction_surprises_never() -> None:
    assert surprises(TEXT, TEXT) == []


def test_after_one_replaced_token_the_next_is_guessed_again() -> None:
    answer = [STRANGE if i % 20 == 19 else token for i, token in enumerate(TEXT)]
    assert surprises(TEXT, answer) == list(range(19, 300, 20))


def test_one_token_left_out_costs_one_more() -> None:
    answer = [token for i, token in enumerate(TEXT) if i % 20 != 19]
    assert len(surprises(TEXT, answer)) <= 2 * 15


def test_one_token_put_in_costs_one_more() -> None:
    answer = [t for i, token in enumerate(TEXT) for t in ([STRANGE, token] if i % 20 == 19 else [token])]
    assert len(surprises(TEXT, answer)) <= 2 * 15


@pytest.mark.parametrize("n", [2, 3, 5])
def test_after_some_replaced_tokens_the_next_is_guessed_again(n: int) -> None:
    answer = [*TEXT[:100], *[STRANGE] * n, *TEXT[100 + n :]]
    assert surprises(TEXT, answer) == list(range(100, 100 + n))


def test_a_passage_left_out_is_passed_over_once_three_tokens_tell() -> None:
    assert len(surprises(TEXT, TEXT[:50] + TEXT[200:])) <= 4 + LATE


def test_an_answer_with_an_introduction_is_followed_from_the_prediction_s_beginning() -> None:
    assert len(surprises(TEXT, [STRANGE] * 25 + TEXT)) <= 25 + 2 + LATE
    assert len(surprises(TEXT, [STRANGE] * 100 + TEXT)) <= 100 + 3 + LATE


def test_what_is_repeated_counts_once() -> None:
    follower = Prediction(Foretold(TEXT), belief())
    assert sum(follower.accept(token) for token in TEXT * 3) == len(TEXT)


@given(prediction=st.lists(st.integers(0, 5), min_size=1, max_size=40), answer=st.lists(st.integers(0, 5), max_size=80))
def test_no_more_comes_true_than_was_predicted(prediction: list[int], answer: list[int]) -> None:
    follower = Prediction(Foretold(prediction), belief())
    came_true = sum(follower.accept(token) for token in answer)
    assert came_true <= min(len(prediction), len(answer))
    assert all(token in prediction for token in follower.guess(10))


def looked_up(prompt: list[int], answer: list[int]) -> tuple[PromptLookup, list[bool]]:
    text = np.zeros(len(prompt) + len(answer), np.int32)
    text[: len(prompt)] = prompt
    lookup = PromptLookup(text, len(prompt), belief())
    right = []
    for i, token in enumerate(answer, len(prompt)):
        text[i] = token
        right.append(lookup.accept(token))
    return lookup, right


def test_what_stands_in_the_prompt_is_guessed_after_three_tokens() -> None:
    _, right = looked_up(TEXT, TEXT[100:200])
    assert right == [False] * 3 + [True] * 97


def test_an_edit_of_the_prompt_is_followed_over_its_differences() -> None:
    answer = [STRANGE if i % 20 == 19 else token for i, token in enumerate(TEXT)]
    _, right = looked_up(TEXT, answer)
    assert sum(not hit for hit in right) <= 3 + LATE + 15


def test_the_prompt_s_end_counts_too() -> None:
    _, right = looked_up([*TEXT, *TEXT[10:12]], TEXT[12:50])
    assert right[1:] == [True] * 37


def test_what_goes_round_is_guessed_to_go_round() -> None:
    lookup, _ = looked_up([1, 2, 3], [1, 2, 3, 1, 2, 3])
    assert lookup.guess(8) == [1, 2, 3, 1, 2, 3, 1, 2]


def test_a_text_without_repetition_gives_no_guess() -> None:
    lookup, right = looked_up(list(range(200)), list(range(200, 400)))
    assert not any(right) and not lookup.guesses and lookup.guess(5) == []


def test_the_last_of_several_places_is_taken() -> None:
    lookup, _ = looked_up([1, 2, 3, 4, 9, 9, 1, 2, 3, 5, 8], [1, 2, 3])
    assert lookup.guess(2) == [5, 8]


@given(prompt=st.lists(st.integers(0, 3), max_size=30), answer=st.lists(st.integers(0, 3), max_size=60))
def test_every_guess_is_of_tokens_that_the_sequence_has(prompt: list[int], answer: list[int]) -> None:
    lookup, right = looked_up(prompt, answer)
    guess = lookup.guess(100)
    assert len(guess) in (0, 100) and set(guess) <= {*prompt, *answer}
    assert len(right) == len(answer)
