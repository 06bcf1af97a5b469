"""Penalties against llama.cpp's own sampler over the full array, and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import SamplingParams
from backends.llama_cpp.sampling.penalties import RepeatPenalties
from backends.llama_cpp.sampling.sparse import change_row
from tests.backends.sampling import reference
from tests.backends.sampling.chains import C, changed_logits, model_like, penalties_sampler

N = 50
ROW = model_like(np.random.default_rng(0), N)
ROW[:3] = 0.0, -np.inf, 1e-6

token_lists = st.lists(st.integers(0, N - 1), max_size=60)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    prompt=token_lists,
    generated=token_lists,
    last_n=st.sampled_from([-1, 1, 2, 7, 64, 1000]),
    repeat=st.floats(0.2, 5),
    frequency=st.floats(-2, 2),
    presence=st.floats(-2, 2),
)
def test_as_llama_cpp_and_numpy(
    prompt: list[int], generated: list[int], last_n: int, repeat: float, frequency: float, presence: float
) -> None:
    params = SamplingParams(
        repeat_penalty=repeat, frequency_penalty=frequency, presence_penalty=presence, repeat_last_n=last_n
    )
    ours = RepeatPenalties(params, prompt)
    theirs = penalties_sampler(params, N, 1000)
    for token in prompt:
        C.llama_sampler_accept(theirs, token)
    for token in generated:
        ours.accept(token)
        C.llama_sampler_accept(theirs, token)
    row = ROW.copy()
    change_row(ours, row)
    np.testing.assert_allclose(row, changed_logits(theirs, ROW), rtol=1e-6, atol=1e-6)
    C.llama_sampler_free(theirs)
    tokens = prompt + generated
    last = tokens if last_n < 0 else tokens[-last_n:]
    expected = reference.penalties(ROW, last, repeat, frequency, presence)
    np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "active"),
    [
        ({}, False),
        ({"repeat_penalty": 1.1}, True),
        ({"repeat_penalty": 1.1, "repeat_last_n": 0}, False),
        ({"presence_penalty": -0.5}, True),
        ({"frequency_penalty": 0.5}, True),
    ],
)
def test_active(fields: dict[str, float], active: bool) -> None:
    assert RepeatPenalties.active(SamplingParams(**fields)) is active
