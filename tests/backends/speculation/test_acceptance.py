from __future__ import annotations

import pytest

from backends.llama_cpp.speculation.acceptance import MEMORY, N_LEVELS, SUREST, Acceptance, level


def test_the_longer_the_streak_the_higher_its_level() -> None:
    assert [level(n) for n in (0, 1, 2, 3, 4, 7, 8, 31, 32, 1000)] == [0, 1, 2, 2, 3, 3, 4, 5, 6, 6]


def test_estimates_go_from_what_was_believed_to_what_is_seen() -> None:
    acceptance = Acceptance((0.9,) * N_LEVELS)
    assert acceptance.probability(0) == 0.9
    for _ in range(20):
        acceptance.note(0, False)
    assert acceptance.probability(0) < 0.2
    assert acceptance.probability(1) == 0.9


def test_what_was_long_ago_is_forgotten() -> None:
    acceptance = Acceptance((0.5,) * N_LEVELS)
    for _ in range(1000):
        acceptance.note(0, False)
    for _ in range(int(2 * MEMORY)):
        acceptance.note(0, True)
    assert acceptance.probability(0) > 0.7


def test_a_new_sequence_begins_with_what_others_have_seen() -> None:
    everyone = Acceptance((0.5,) * N_LEVELS, 256)
    for _ in range(50):
        Acceptance(everyone).note(3, False)
    assert everyone.probability(3) < 0.1
    assert Acceptance(everyone).probability(3) == pytest.approx(everyone.probability(3))


def test_odds_are_those_of_all_guesses_so_far() -> None:
    acceptance = Acceptance((0.1, 0.5, 0.6, 0.7, 0.8, 1.0, 1.0))
    assert acceptance.odds(1, 3) == pytest.approx([0.5, 0.3, 0.18])
    assert acceptance.odds(16, 2) == pytest.approx([SUREST, SUREST**2])
    assert len(acceptance.odds(0, 10)) < 5  # hopeless soon
