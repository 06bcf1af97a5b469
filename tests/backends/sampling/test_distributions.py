"""What each sampler leaves, against NumPy: the real sampler runs, then its candidates are read, with probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backends.base import SAMPLER_ORDER, SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from tests.backends.sampling import reference
from tests.backends.sampling.chains import model_like
from tests.backends.sampling.conftest import N_VOCAB
from tests.backends.sampling.reference import Distribution

OFF: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Every sampler switched off."""

SHARPNESS = (0.3, 1.0, 2.0)


def left_over(sampler: Sampler, vocab: SamplingVocab, logits: npt.NDArray[np.float32]) -> tuple[int, dict[int, float]]:
    """The token drawn, and every token that could have been, with its probability."""
    token = sampler.sample(logits)
    entries = vocab.workspace.candidates.entries
    return token, {int(e["id"]): float(e["p"]) for e in entries if e["p"] > 0}


def assert_same(got: dict[int, float], expected: Distribution | tuple[Any, Any], *, logits: bool = True) -> None:
    ids, values = expected
    probabilities = reference.softmax(values) if logits else values
    # A sum in float32 over the vocabulary differs by 1e-5; tokens that can't be drawn needn't be there.
    expected_map = {int(i): float(p) for i, p in zip(ids, probabilities, strict=True)}
    assert {i for i in got if got[i] > 1e-30} == {i for i in expected_map if expected_map[i] > 1e-30}
    for i, p in expected_map.items():
        assert got.get(i, 0.0) == pytest.approx(p, rel=3e-4, abs=1e-9)


SINGLE: list[tuple[dict[str, Any], Callable[[Distribution], Distribution]]] = [
    ({}, lambda d: d),
    ({"top_k": 1}, lambda d: reference.top_k(d, 1)),
    ({"top_k": 40}, lambda d: reference.top_k(d, 40)),
    ({"top_k": 300}, lambda d: reference.top_k(d, 300)),
    ({"top_p": 0.5}, lambda d: reference.top_p(d, 0.5)),
    ({"top_p": 0.95}, lambda d: reference.top_p(d, 0.95)),
    ({"top_p": 0.2, "min_keep": 7}, lambda d: reference.top_p(d, 0.2, 7)),
    ({"min_p": 0.05}, lambda d: reference.min_p(d, 0.05)),
    ({"min_p": 0.001}, lambda d: reference.min_p(d, 0.001)),
    ({"min_p": 0.9, "min_keep": 5}, lambda d: reference.min_p(d, 0.9, 5)),
    ({"typical_p": 0.5}, lambda d: reference.typical_p(d, 0.5)),
    ({"typical_p": 0.95}, lambda d: reference.typical_p(d, 0.95)),
    ({"tfs_z": 0.5}, lambda d: reference.tfs_z(d, 0.5)),
    ({"tfs_z": 0.95}, lambda d: reference.tfs_z(d, 0.95)),
    ({"tfs_z": 0.1, "min_keep": 4}, lambda d: reference.tfs_z(d, 0.1, 4)),
    ({"top_n_sigma": 1.0}, lambda d: reference.top_n_sigma(d, 1.0)),
    ({"top_n_sigma": 0.3}, lambda d: reference.top_n_sigma(d, 0.3)),
    ({"xtc_probability": 1.0, "xtc_threshold": 0.1}, lambda d: reference.xtc(d, 0.1)),
    ({"xtc_probability": 1.0, "xtc_threshold": 0.02}, lambda d: reference.xtc(d, 0.02)),
    ({"temperature": 0.4}, lambda d: reference.temperature(d, 0.4)),
    ({"temperature": 1.7}, lambda d: reference.temperature(d, 1.7)),
    ({"temperature": 1.0, "dynatemp_range": 0.5}, lambda d: reference.dynamic_temperature(d, 1.0, 0.5, 1.0)),
    (
        {"temperature": 0.8, "dynatemp_range": 0.6, "dynatemp_exponent": 1.5},
        lambda d: reference.dynamic_temperature(d, 0.8, 0.6, 1.5),
    ),
]


@pytest.mark.parametrize(("fields", "expected"), SINGLE, ids=[str(fields) for fields, _ in SINGLE])
def test_each_alone(
    vocab: SamplingVocab, fields: dict[str, Any], expected: Callable[[Distribution], Distribution]
) -> None:
    rng = np.random.default_rng(1)
    for sharpness in SHARPNESS:
        logits = model_like(rng, N_VOCAB, sharpness)
        with_chain = SamplingParams(**OFF | fields)
        if fields == {"top_k": 1}:  # needs no chain
            assert Sampler(with_chain, vocab, seed=3, prompt=[]).sample(logits) == logits.argmax()
            continue
        token, got = left_over(Sampler(with_chain, vocab, seed=3, prompt=[]), vocab, logits)
        assert_same(got, expected(reference.start(logits)))
        assert token in got


STEPS: dict[str, Callable[[Distribution], Distribution]] = {
    "top_n_sigma": lambda d: reference.top_n_sigma(d, 2.0),
    "top_k": lambda d: reference.top_k(d, 30),
    "tfs_z": lambda d: reference.tfs_z(d, 0.97),
    "typ_p": lambda d: reference.typical_p(d, 0.95),
    "top_p": lambda d: reference.top_p(d, 0.9),
    "min_p": lambda d: reference.min_p(d, 0.03),
    "xtc": lambda d: reference.xtc(d, 0.15),
    "temperature": lambda d: reference.temperature(d, 0.7),
}
ALL_ON: dict[str, Any] = {
    "top_n_sigma": 2.0,
    "top_k": 30,
    "tfs_z": 0.97,
    "typical_p": 0.95,
    "top_p": 0.9,
    "min_p": 0.03,
    "xtc_probability": 1.0,
    "xtc_threshold": 0.15,
    "temperature": 0.7,
}


@pytest.mark.parametrize("seed", range(40))
def test_all_in_any_order(vocab: SamplingVocab, seed: int) -> None:
    """The first is llama.cpp's order, the others are shuffled, repeated and shortened."""
    rng = np.random.default_rng(seed)
    logits = model_like(rng, N_VOCAB, 1.0)
    names = [name for name in SAMPLER_ORDER if name not in ("penalties", "dry")]
    if seed:
        names = rng.choice(names, rng.integers(1, 9)).tolist()
    d = reference.start(logits)
    for name in names:
        d = STEPS[name](d)
    params = SamplingParams(**ALL_ON, samplers=tuple(names))
    _, got = left_over(Sampler(params, vocab, seed=seed, prompt=[]), vocab, logits)
    assert_same(got, d)


def test_draws_follow_the_probabilities(vocab: SamplingVocab) -> None:
    """Chi-square over many draws of one sampler, and over the first draws of many seeds."""
    logits = model_like(np.random.default_rng(2), N_VOCAB, 0.3)
    params = SamplingParams(top_k=12, min_p=0.0, top_p=1.0, temperature=1.5)
    ids, values = reference.top_k(reference.start(logits), 12)
    expected = reference.softmax(values / 1.5)
    one = Sampler(params, vocab, seed=5, prompt=[])
    many = (Sampler(params, vocab, seed=i, prompt=[]).sample(logits) for i in range(6000))
    for draws in ([one.sample(logits) for _ in range(6000)], list(many)):
        counts = np.array([draws.count(int(i)) for i in ids])
        assert counts.sum() == 6000
        chi_square = ((counts - 6000 * expected) ** 2 / (6000 * expected)).sum()
        assert chi_square < 31.3  # 11 degrees of freedom: exceeded once in a thousand


def test_xtc_happens_as_often_as_asked(vocab: SamplingVocab) -> None:
    logits = np.full(N_VOCAB, -30, np.float32)
    logits[[5, 6, 7]] = 2, 1, 0
    params = SamplingParams(**OFF, xtc_probability=0.3, xtc_threshold=0.05)
    sampler = Sampler(params, vocab, seed=5, prompt=[])
    n_cut = 0
    for _ in range(2000):
        sampler.sample(logits)
        n_cut += vocab.workspace.candidates.size < N_VOCAB
    assert abs(n_cut - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("tau", "eta"), [(5.0, 0.1), (2.0, 0.5)])
def test_mirostat(vocab: SamplingVocab, version: int, tau: float, eta: float) -> None:
    params = SamplingParams(mirostat=version, mirostat_tau=tau, mirostat_eta=eta, temperature=1.3, top_k=1)
    sampler = Sampler(params, vocab, seed=4, prompt=[])
    rng = np.random.default_rng(9)
    mu = 2 * tau
    for _ in range(30):
        logits = model_like(rng, N_VOCAB, 0.5)
        d = reference.temperature(reference.start(logits), 1.3)
        p = reference.softmax(d[1])
        if version == 1:
            steps = np.log(np.arange(2, 101) / np.arange(1, 100))
            drops = np.log(p[:99] / p[1:100])
            s = (steps * drops).sum() / (steps**2).sum()
            e = s - 1
            k = int(((e * 2**mu) / (1 - N_VOCAB**-e)) ** (1 / s))
            d = reference.top_k(d, max(k, 1))
        else:
            d = reference.take(d, slice(0, max(int((-np.log2(p) <= mu).sum()), 1)))
        token, got = left_over(sampler, vocab, logits)
        assert_same(got, d)
        mu -= eta * (-np.log2(got[token]) - tau)
        sampler.accept(token)


@pytest.mark.parametrize("target", [-1.0, 0.0, 0.4, 0.9])
def test_adaptive_p(vocab: SamplingVocab, target: float) -> None:
    params = SamplingParams(
        adaptive_target=target, adaptive_decay=0.8, min_p=0.01, samplers=("adaptive_p", "min_p", "temperature")
    )
    sampler = Sampler(params, vocab, seed=4, prompt=[])
    rng = np.random.default_rng(9)
    total, weight = target / 0.2, 1 / 0.2
    for _ in range(30):
        logits = model_like(rng, N_VOCAB, 0.5)
        d = reference.temperature(reference.min_p(reference.start(logits), 0.01), 0.8)
        p = reference.softmax(d[1])
        if target >= 0:
            p = reference.adapted(d, float(np.clip(2 * target - total / weight, 0, 1)))
        token, got = left_over(sampler, vocab, logits)
        assert_same(got, (d[0], p), logits=False)
        chosen = float(reference.softmax(d[1])[d[0] == token][0])
        total, weight = chosen + 0.8 * total, 1 + 0.8 * weight
        sampler.accept(token)


def test_mirostat_replaces_the_chain(vocab: SamplingVocab) -> None:
    """Even penalties; biases stay."""
    logits = model_like(np.random.default_rng(2), N_VOCAB, 3)
    best = int(logits.argmax())
    plain = SamplingParams(mirostat=2, temperature=1.0)
    assert_same(
        left_over(Sampler(plain, vocab, seed=1, prompt=[]), vocab, logits)[1],
        reference.take(reference.start(logits), -np.log2(reference.softmax(reference.start(logits)[1])) <= 10),
    )
    for fields in ({"repeat_penalty": 5.0}, {"top_k": 1}, {"tfs_z": 0.1}, {"dry_multiplier": 9.0}):
        params = SamplingParams(mirostat=2, temperature=1.0, **fields)
        a, b = (Sampler(p, vocab, seed=1, prompt=[best] * 9) for p in (plain, params))
        assert [a.sample(logits) for _ in range(20)] == [b.sample(logits) for _ in range(20)]
    banned = SamplingParams(mirostat=2, temperature=0.0, logit_bias={best: -np.inf})
    assert Sampler(banned, vocab, seed=1, prompt=[]).sample(logits) != best
