"""The same seed gives the same draws as llama.cpp's own chain over the full vocabulary."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.base import SAMPLER_ORDER, SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from backends.llama_cpp.sampling.prefilter import highest
from tests.backends.sampling.chains import Logits, Reference, draws, model_like
from tests.backends.sampling.conftest import EOG, N_VOCAB

ROWS = [model_like(np.random.default_rng(i), N_VOCAB, sharpness) for i, sharpness in enumerate((0.3, 0.5, 1, 1, 2, 4))]
BIG_ROW = model_like(np.random.default_rng(99), 151_936, 0.3)
VOCAB = SamplingVocab(N_VOCAB, np.array(EOG, np.int32), np.zeros(0, np.int32))
BIG_VOCAB = SamplingVocab(len(BIG_ROW), np.array(EOG, np.int32), np.zeros(0, np.int32))


def off_or(values: st.SearchStrategy[Any], off: Any) -> st.SearchStrategy[Any]:
    return st.just(off) | values


@st.composite
def any_params(draw: st.DrawFn) -> SamplingParams:
    """All that llama.cpp has; DRY apart, which needs a vocabulary that spells."""
    fraction = st.floats(0.01, 0.999)
    names = [name for name in SAMPLER_ORDER if name not in ("tfs_z", "dry")]
    order = draw(st.just(names) | st.lists(st.sampled_from([*names, "adaptive_p"]), max_size=10))
    biases = st.dictionaries(st.integers(0, N_VOCAB - 1), st.floats(-10, 10) | st.just(-np.inf), max_size=8)
    return SamplingParams(
        temperature=draw(st.sampled_from([0.0, 0.3, 0.8, 1.0, 1.5])),
        dynatemp_range=draw(off_or(st.floats(0.01, 2), 0.0)),
        dynatemp_exponent=draw(st.floats(0.1, 3)),
        top_k=draw(st.sampled_from([0, -1, 1, 2, 40, 40, 130, 250, 600, N_VOCAB, 10**9])),
        top_p=draw(off_or(fraction, 1.0)),
        min_p=draw(off_or(fraction, 0.0)),
        typical_p=draw(off_or(fraction, 1.0)),
        top_n_sigma=draw(off_or(st.floats(0.1, 4), -1.0)),
        xtc_probability=draw(off_or(fraction, 0.0)),
        xtc_threshold=draw(st.floats(0.001, 0.6)),
        mirostat=draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2])),
        mirostat_tau=draw(st.floats(0.1, 10)),
        mirostat_eta=draw(st.floats(0.01, 1)),
        repeat_penalty=draw(off_or(st.floats(0.5, 2), 1.0)),
        presence_penalty=draw(off_or(st.floats(-2, 2), 0.0)),
        frequency_penalty=draw(off_or(st.floats(-2, 2), 0.0)),
        repeat_last_n=draw(st.sampled_from([-1, 0, 1, 5, 64])),
        adaptive_target=draw(st.sampled_from([-1.0, 0.1, 0.5, 1.0])),
        logit_bias=draw(st.just({}) | biases),
        min_keep=draw(st.sampled_from([0, 0, 1, 3, 100])),
        samplers=tuple(order),
    )


def comparable(params: SamplingParams) -> list[Logits]:
    """Not where llama.cpp's own result is arbitrary: typical_p's entropy is NaN there once a probability is 0."""
    if params.typical_p == 1 or "typ_p" not in params.samplers:
        return ROWS
    before = params.samplers[: len(params.samplers) - params.samplers[::-1].index("typ_p")]
    some_are_0 = -np.inf in params.logit_bias.values() or (params.top_n_sigma > 0 and "top_n_sigma" in before)
    return [] if some_are_0 or "temperature" in before else ROWS[:2]


@settings(max_examples=400, derandomize=True, deadline=None)
@given(any_params(), st.integers(0, 2**32 - 2), st.lists(st.integers(0, N_VOCAB - 1), max_size=100))
@example(  # logits far above any model's between two samplers
    SamplingParams(temperature=0.0, dynatemp_range=1.0, frequency_penalty=1.0, samplers=("temperature", "penalties")),
    0,
    [],
)
def test_same_draws(params: SamplingParams, seed: int, prompt: list[int]) -> None:
    rows = comparable(params)
    ours = Sampler(params, VOCAB, seed=seed, prompt=prompt)
    assert draws(ours, rows) == draws(Reference(params, N_VOCAB, seed, prompt), rows)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.02},
        {"samplers": ("temperature", "top_k", "top_p")},
        {"samplers": ("temperature", "min_p"), "temperature": 2.5, "min_p": 0.01},
        {"repeat_penalty": 1.3, "logit_bias": {5: 3.0}},
        {"samplers": ("top_k", "penalties", "top_p"), "repeat_penalty": 2.0, "top_p": 0.7},
    ],
)
def test_same_draws_from_a_large_vocabulary(fields: dict[str, Any]) -> None:
    """300 seeds each, on the rows that matter: 152k tokens."""
    params = SamplingParams(**fields)
    prompt = np.argsort(-BIG_ROW)[:5].tolist()
    n = len(BIG_ROW)
    ours = [Sampler(params, BIG_VOCAB, seed=i, prompt=prompt).sample(BIG_ROW) for i in range(300)]
    theirs = [Reference(params, n, i, prompt).sample(BIG_ROW) for i in range(300)]
    assert ours == theirs
    assert len(set(ours)) > 3


@settings(max_examples=200, derandomize=True, deadline=None)
@given(any_params(), st.integers(0, 2**32 - 2), st.sampled_from([1, 3, 30, 300, N_VOCAB - 1]), st.randoms())
def test_same_draws_from_what_a_mask_allows(params: SamplingParams, seed: int, n_allowed: int, chance: Random) -> None:
    """As if the others had a logit of -inf, but for samplers that count the candidates: there are no others."""
    params = msgspec.structs.replace(
        params, typical_p=1.0, top_n_sigma=-1.0, dynatemp_range=0.0, logit_bias={}, mirostat=0, min_keep=0
    )
    once = tuple(dict.fromkeys(params.samplers))  # a second XTC draws nothing if the first has left it one candidate
    params = msgspec.structs.replace(params, samplers=once)
    allowed = np.zeros(N_VOCAB, np.bool_)
    allowed[chance.sample(range(N_VOCAB), n_allowed)] = True
    mask = np.packbits(np.pad(allowed, (0, -N_VOCAB % 32)), bitorder="little").view(np.uint32)
    rows = [np.where(allowed, row, np.float32(-np.inf)) for row in ROWS]
    ours, theirs = Sampler(params, VOCAB, seed=seed, prompt=[]), Reference(params, N_VOCAB, seed, [])
    for row, masked in zip(ROWS, rows, strict=True):
        token = ours.sample(row, mask)
        assert token == theirs.sample(masked)
        assert allowed[token]
        ours.accept(token)
        theirs.accept(token)


def test_top_n_sigma_sees_the_full_row() -> None:
    """Behind a prefilter it would measure the spread of the survivors: most draws would change."""
    params = SamplingParams(top_n_sigma=1.0)
    for seed in range(20):
        expected = Reference(params, N_VOCAB, seed).sample(ROWS[0])
        assert Sampler(params, VOCAB, seed=seed, prompt=[]).sample(ROWS[0]) == expected


@pytest.mark.parametrize("n", [1, 2, 7, 63, 64, 65, 1000, 4000, 151_936])
@pytest.mark.parametrize("k", [1, 2, 40, 1000])
def test_highest(n: int, k: int) -> None:
    for seed in range(5):
        logits = np.random.default_rng(seed).permutation(n).astype(np.float32)
        peak, ids = highest(logits, k)
        assert peak == n - 1
        if ids is not None:
            assert set(np.argsort(-logits)[:k]) <= set(ids.tolist())
            assert (np.diff(ids) > 0).all() and len(ids) < n


def test_highest_keeps_all_equals() -> None:
    logits = np.zeros(10_000, np.float32)
    logits[::50] = 1
    peak, ids = highest(logits, 40)
    assert peak == 1
    assert ids is not None and ids.tolist() == list(range(0, 10_000, 50))


def test_highest_when_few_are_possible() -> None:
    logits = np.full(10_000, -np.inf, np.float32)
    logits[3] = 1
    assert highest(logits, 40) == (1.0, None)
    logits[5] = np.nan
    assert np.isnan(highest(logits, 40)[0])
