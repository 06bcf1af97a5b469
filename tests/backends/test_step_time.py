"""Step times, learned from noisy measurements."""

from __future__ import annotations

from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from backends.llama_cpp.step_time import StepTime


def learned(*steps: tuple[int, float]) -> StepTime:
    times = StepTime()
    for n_tokens, seconds in steps:
        times.observe(n_tokens, seconds)
    return times


def test_nothing_is_known_before_the_first_step() -> None:
    assert StepTime().estimate(100) == 0.0


def test_between_two_measured_sizes_it_interpolates() -> None:
    times = learned((1, 0.02), (65, 0.66))
    assert abs(times.estimate(33) - 0.34) < 1e-9


def test_beyond_the_largest_it_grows_in_proportion_and_below_the_smallest_it_stays() -> None:
    times = learned((4, 0.1), (32, 0.5))
    assert times.estimate(64) == 1.0
    assert times.estimate(1) == 0.1


def test_one_slow_step_does_not_count() -> None:
    times = learned((1, 3.0), (1, 0.02), (1, 0.02))
    assert times.estimate(1) == 0.02


def test_it_follows_a_change_of_load_within_a_few_steps() -> None:
    times = learned(*[(1, 0.02)] * 100, *[(1, 0.05)] * 3)
    assert times.estimate(1) == 0.05


def test_largest_within_a_budget() -> None:
    times = learned((1, 0.02), (101, 1.02))
    assert times.largest_within(0.5, 512) == 49
    assert times.largest_within(0.01, 512) == 0
    assert times.largest_within(100.0, 512) == 512


@example([(1, 1.0001), (1, 0.9913606227703246), (1535, 0.5)], 1.0)
@given(st.lists(st.tuples(st.integers(1, 2048), st.floats(1e-4, 10)), min_size=1, max_size=60), st.floats(1e-4, 10))
def test_more_tokens_never_take_less_time(steps: list[tuple[int, float]], budget: float) -> None:
    times = learned(*steps)
    sizes = sorted({*Random(1).sample(range(1, 3000), 200), *(n for n, _ in steps)})
    estimates = [times.estimate(n) for n in sizes]
    assert estimates == sorted(estimates)
    most = times.largest_within(budget, 2048)
    assert most == 0 or times.estimate(most) <= budget
    assert most == 2048 or times.estimate(most + 1) > budget
