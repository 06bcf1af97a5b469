from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from backends.llama_cpp.speculation.draft_length import MARGIN, Slowdown, draft_lengths


def linear(cost: float) -> Slowdown:
    """Each drafted token lengthens a step by this share."""
    return lambda n: 1 + cost * n


def odds(p: float, n: int = 16) -> list[float]:
    return [p ** (i + 1) for i in range(n)]


def test_free_capacity_is_used_to_the_full() -> None:
    assert draft_lengths([odds(0.9)], linear(0.0), 1, 100) == [16]


def test_nothing_is_drafted_where_each_token_costs_as_much_as_a_step() -> None:
    assert draft_lengths([odds(0.95)], linear(1.0), 1, 100) == [0]


def test_a_draft_pays_that_only_pays_in_numbers() -> None:
    def steep(n: int) -> float:
        """The second token doubles a step's time; the next ones come nearly for nothing."""
        return 1.0 if n == 0 else 2.0 + 0.01 * n

    (n,) = draft_lengths([odds(0.9)], steep, 1, 100)
    assert n > 8


def test_unlikely_drafts_are_short() -> None:
    (sure,), (unsure,) = (draft_lengths([odds(p)], linear(0.1), 1, 100) for p in (0.9, 0.4))
    assert sure > unsure > 0
    assert draft_lengths([odds(0.05)], linear(0.1), 1, 100) == [0]


def test_one_among_many_may_slow_the_others_only_a_little() -> None:
    (alone,) = draft_lengths([odds(0.9)], linear(0.04), 1, 100)
    (among,) = draft_lengths([odds(0.9)], linear(0.04), 8, 100)
    assert alone > among > 0
    assert draft_lengths([odds(0.9)], linear(0.1), 8, 100) == [0]


def test_the_surer_sequence_gets_more() -> None:
    sure, unsure = draft_lengths([odds(0.9), odds(0.5)], linear(0.05), 2, 100)
    assert sure > unsure > 0


def utility(lengths: Sequence[int], each: Sequence[list[float]], cost: float, n_sharers: int) -> float:
    gain = sum(math.log1p(sum(o[:n])) for o, n in zip(each, lengths, strict=True))
    return gain - n_sharers * math.log(1 + cost * sum(lengths))


@given(
    ps=st.lists(st.floats(0.05, 0.99), min_size=1, max_size=3),
    cost=st.floats(0, 0.5),
    others=st.integers(0, 3),
    room=st.integers(0, 12),
)
def test_no_other_choice_is_much_better(ps: list[float], cost: float, others: int, room: int) -> None:
    each = [odds(p, 4) for p in ps]
    n_sharers = len(ps) + others
    chosen = draft_lengths(each, linear(cost), n_sharers, room)
    assert sum(chosen) <= room and all(n <= 4 for n in chosen)
    choices = (c for c in product(range(5), repeat=len(ps)) if sum(c) <= room)
    best = max(utility(c, each, cost, n_sharers) for c in choices)
    ours = utility(chosen, each, cost, n_sharers)
    assert ours >= 0 and best - ours <= MARGIN + 0.03  # totals beyond 8 aren't all tried
