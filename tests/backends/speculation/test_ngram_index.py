from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backends.llama_cpp.speculation.ngram_index import N, NgramIndex

tokens = st.lists(st.integers(0, 3), max_size=60)


def last_place(text: list[int], run: tuple[int, ...]) -> int | None:
    return max((end for end in range(N, len(text) + 1) if tuple(text[end - N : end]) == run), default=None)


@given(text=tokens, more=tokens)
def test_a_run_is_found_where_it_stood_last_or_not_at_all(text: list[int], more: list[int]) -> None:
    room = np.zeros(len(text) + len(more), np.int32)
    room[: len(text)] = text
    index = NgramIndex(room, len(text))
    for token in more:
        text = [*text, token]
        room[len(text) - 1] = token
        if len(text) < N:
            continue
        a, b, c = text[-N:]
        assert index.find((a, b, c)) in (last_place(text[:-1], (a, b, c)), None)
        index.add((a, b, c), len(text))
        assert index.find((a, b, c)) == len(text)


def test_few_runs_are_lost_to_collisions() -> None:
    text = np.random.default_rng(1).integers(0, 150_000, 5000).astype(np.int32)
    index = NgramIndex(text, len(text))
    runs = [tuple(text[end - N : end].tolist()) for end in range(N, len(text) + 1)]
    found = [index.find(run) == end for end, run in enumerate(runs, N)]
    assert sum(found) > 0.85 * len(runs)


def test_an_empty_text_has_no_runs() -> None:
    assert NgramIndex(np.zeros(0, np.int32), 0).find((1, 2, 3)) is None
