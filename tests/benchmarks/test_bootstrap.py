"""Ratios over paired runs, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bootstrap import difference, ratio
from benchmarks.targets import TARGETS, Target, target_of

positive = st.floats(0.01, 1000)


def test_noise_that_hits_both_cancels() -> None:
    noise = np.array([1.0, 1.4, 0.7, 1.2, 0.9])
    found = ratio(3 * noise, 2 * noise)
    assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_the_interval_holds_the_median_of_a_known_distribution() -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        found = ratio(1.2 * np.exp(0.2 * random.standard_normal(20)), np.ones(20))
        held += found.low <= 1.2 <= found.high
    assert 88 <= held <= 100


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=12))
def test_the_median_lies_in_its_interval(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = zip(*pairs, strict=True)
    for found in (ratio(ours, theirs), difference(ours, theirs)):
        assert found.low <= found.value <= found.high


def test_the_same_pairs_give_the_same_interval() -> None:
    ours, theirs = [1.0, 2.0, 3.0], [2.0, 2.5, 2.0]
    assert ratio(ours, theirs) == ratio(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([1.2, 1.3, 1.25], "met"),
        ([0.9, 0.8, 0.85], "missed"),
        ([1.0, 1.1, 1.2], "met, not certain"),
        ([0.9, 1.0, 1.2], "missed, not certain"),
    ],
)
def test_a_verdict_says_whether_the_interval_settles_it(ours: list[float], verdict: str) -> None:
    target = Target("unique-8", "total", "llama-server", 1.05)
    assert target.verdict(ratio(ours, [1.0] * len(ours))) == verdict


def test_targets_are_found_by_what_they_are_about() -> None:
    assert target_of("single", "decode", "llama-bench") in TARGETS
    assert target_of("single", "decode", "somebody") is None
    assert str(target_of("start", "ready", "llama-server")) == "≤ +1.5"
