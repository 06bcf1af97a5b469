"""The sampler around its chain: greedy, biases and bans, seeds, replay, limits, broken logits."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import SAMPLER_ORDER, SAMPLERS, SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from backends.llama_cpp.sampling.limits import LIMITS, bounded
from tests.backends.sampling.chains import Logits, draws, load_vocab, model_like
from tests.backends.sampling.conftest import EOG, N_VOCAB
from tests.models.vocab import bpe_vocab

ROWS = [model_like(np.random.default_rng(i), N_VOCAB, 0.4) for i in range(20)]


def sampler(vocab: SamplingVocab, prompt: list[int] | None = None, seed: int | None = 1, **fields: Any) -> Sampler:
    return Sampler(SamplingParams(**fields), vocab, seed=seed, prompt=prompt or [])


def run(sampler: Sampler, rows: list[Logits] = ROWS) -> list[int]:
    return draws(sampler, rows)


# --- greedy ---


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": 1e-6},
        {"temperature": 0.0, "mirostat": 1},
        {"temperature": 0.0, "mirostat": 2},
        {"temperature": 0.0, "samplers": ("adaptive_p", "temperature"), "adaptive_target": 0.3},
        {"temperature": 0.0, "tfs_z": 0.5, "top_n_sigma": 1.0},
        {"top_k": 1},
        {"temperature": 0.0, "samplers": ("temperature", "xtc"), "xtc_probability": 1.0},
        {"temperature": 0.0, "samplers": ("temperature", "penalties"), "repeat_penalty": 1.5},
    ],
)
def test_greedy_is_the_highest_logit(vocab: SamplingVocab, fields: dict[str, Any]) -> None:
    best = [int(row.argmax()) for row in ROWS]
    assert run(sampler(vocab, best, **fields)) == best


def test_temperature_0_after_samplers_that_drop_the_best(vocab: SamplingVocab) -> None:
    """XTC drops the best ones first; what is best among the rest is taken."""
    row = np.full(N_VOCAB, -20, np.float32)
    row[[3, 4, 5]] = 3, 2.9, 2.8
    assert sampler(vocab, temperature=0.0, xtc_probability=1.0, xtc_threshold=0.1).sample(row) == 5


def test_without_temperature_in_the_chain_it_has_no_effect(vocab: SamplingVocab) -> None:
    assert run(sampler(vocab, temperature=0.0, samplers=("top_k",))) == run(
        sampler(vocab, temperature=1.0, samplers=("top_k",))
    )


def test_logits_stay_as_they_are(vocab: SamplingVocab) -> None:
    fields = {"repeat_penalty": 1.5, "logit_bias": {1: 5.0}, "min_tokens": 3, "dry_multiplier": 1.0}
    for more in ({}, {"temperature": 0.0}, {"top_k": 0, "tfs_z": 0.5}, {"mirostat": 2}):
        before = ROWS[0].copy()
        before[[1, 2, 3, EOG[0]]] = np.nan, np.inf, -0.0, -np.inf
        row = before.copy()
        one = sampler(vocab, [1, 2, 3], **fields, **more)
        for _ in range(5):  # with the ban of the ends and without it
            one.accept(one.sample(row))
            assert row.tobytes() == before.tobytes()


# --- biases and bans ---


def test_logit_bias(vocab: SamplingVocab) -> None:
    for more in ({"temperature": 0.0}, {}, {"mirostat": 1}, {"samplers": ()}):
        assert set(run(sampler(vocab, logit_bias={1234: 100.0}, **more))) == {1234}
    best = int(ROWS[0].argmax())
    for bias in (-100.0, -np.inf):
        assert best not in run(sampler(vocab, logit_bias={best: bias}), [ROWS[0]] * 200)


def test_ends_are_banned(vocab: SamplingVocab) -> None:
    row = ROWS[0].copy()
    row[list(EOG)] = 30, 29
    for more in ({"temperature": 0.0}, {}):
        assert set(run(sampler(vocab, **more), [row] * 20)) <= set(EOG)
        assert not set(run(sampler(vocab, ignore_eos=True, **more), [row] * 20)) & set(EOG)
        assert not set(run(sampler(vocab, ignore_eos=True, logit_bias={EOG[0]: 99.0}, **more), [row] * 20)) & set(EOG)
        tokens = run(sampler(vocab, min_tokens=5, **more), [row] * 20)
        assert not set(tokens[:5]) & set(EOG)
        assert set(tokens[5:]) <= set(EOG)


def test_vocabulary_of_a_model(tmp_path: Path) -> None:
    """Its ends, and the tokens that it says must never be generated."""
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "vocab.gguf", "llama")
    bpe_vocab().write(writer, pre="gpt-2", add_bos=True)
    writer.add_array("tokenizer.ggml.suppress_tokens", [5, 9])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    model = load_vocab(tmp_path / "vocab.gguf")
    handle = C.llama_model_get_vocab(model)
    vocab = SamplingVocab.from_model(handle)
    spelled = bpe_vocab()
    assert vocab.n_vocab == len(spelled)
    assert {spelled.eos, spelled.eot} <= set(vocab.eog.tolist())
    assert vocab.suppress.tolist() == [5, 9]
    row = np.zeros(vocab.n_vocab, np.float32)
    row[[5, 9, 20]] = 3, 2, 1
    assert sampler(vocab, temperature=0.0, logit_bias={5: 50.0}).sample(row) == 20
    C.llama_model_free(model)


# --- seeds ---


@pytest.mark.parametrize("fields", [{}, {"mirostat": 1}, {"mirostat": 2}, {"samplers": ("min_p", "adaptive_p")}])
def test_seeds(vocab: SamplingVocab, fields: dict[str, Any]) -> None:
    assert run(sampler(vocab, seed=8, **fields)) == run(sampler(vocab, seed=8, **fields))
    assert run(sampler(vocab, seed=8, **fields)) != run(sampler(vocab, seed=9, **fields))
    for seed in (0, 0xFFFFFFFF, 2**40):  # the second is llama.cpp's "random"
        assert run(sampler(vocab, seed=seed, **fields)) == run(sampler(vocab, seed=seed, **fields))
    a = sampler(vocab, seed=None, **fields)
    assert run(a) == run(sampler(vocab, seed=a.seed, **fields))
    assert len({sampler(vocab, seed=None).seed for _ in range(9)}) == 9


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.0, "repeat_penalty": 2.0},
        {"repeat_penalty": 1.5, "repeat_last_n": 3, "min_tokens": 15},
        {"xtc_probability": 0.5, "xtc_threshold": 0.02, "min_keep": 2},
        {"dry_multiplier": 2.0, "dry_allowed_length": 0},
    ],
)
def test_replay_goes_on_as_if_nothing_had_happened(vocab: SamplingVocab, fields: dict[str, Any]) -> None:
    tokens = run(sampler(vocab, [1, 2, 3], **fields))
    resumed = sampler(vocab, [1, 2, 3], **fields)
    for token in tokens[:12]:
        resumed.pass_over()
        resumed.accept(token)
    assert run(resumed, ROWS[12:]) == tokens[12:]


def test_several_at_once(vocab: SamplingVocab) -> None:
    """Threads don't share scratch memory. The rows are their own: a draw changes its row for a moment."""
    fields = [{"repeat_penalty": 1 + i / 10, "top_k": 0 if i % 2 else 40} for i in range(8)]
    alone = [run(sampler(vocab, seed=i, **f)) for i, f in enumerate(fields)]
    samplers = [sampler(vocab, seed=i, **f) for i, f in enumerate(fields)]
    with ThreadPoolExecutor(4) as pool:
        own_rows = [[row.copy() for row in ROWS] for _ in samplers]
        assert list(pool.map(run, samplers, own_rows)) == alone


def test_close(vocab: SamplingVocab) -> None:
    closed = sampler(vocab)
    closed.close()
    closed.close()
    del closed
    with pytest.raises(ValueError, match="no token"):
        sampler(vocab, logit_bias={N_VOCAB: 1.0})
    gc.collect()  # of one that was never finished


# --- limits ---


def test_limits_are_documented() -> None:
    page = Path(__file__).parents[3] / "docs" / "samplers.md"
    table = page.read_text().split("<!-- limits -->")[1].split("<!-- /limits -->")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in table.strip().splitlines()[2:]]
    assert {field: (float(low), float(high)) for field, low, high in rows} == LIMITS


def test_every_number_has_limits_that_hold_its_default() -> None:
    numbers = {
        field
        for field in SamplingParams.__struct_fields__
        if isinstance(getattr(SamplingParams(), field), (int, float)) and field != "ignore_eos"
    }
    assert numbers == set(LIMITS)
    assert bounded(SamplingParams(), N_VOCAB) == SamplingParams()


def test_what_has_no_meaning_is_refused(vocab: SamplingVocab) -> None:
    for fields, named in [
        ({"temperature": float("nan")}, "temperature"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias"),
        ({"logit_bias": {1: float("nan")}}, "logit_bias"),
        ({"samplers": ("top_k",) * 65}, "samplers"),
        ({"dry_sequence_breakers": ("a",) * 65}, "dry_sequence_breakers"),
    ]:
        with pytest.raises(ValueError, match=named):
            sampler(vocab, **fields)


def test_unknown_samplers_are_passed_over(vocab: SamplingVocab) -> None:
    assert run(sampler(vocab, samplers=("nonsense", "top_k", "gone"))) == run(sampler(vocab, samplers=("top_k",)))


whole = sorted(field for field in LIMITS if isinstance(getattr(SamplingParams(), field), int))
broken = sorted(set(LIMITS) - set(whole))
extreme_whole = st.sampled_from([0, 1, 2, -1, 7, -(10**18), 10**18, 2**31 - 1])
extreme = st.sampled_from([0, 1, -1, 1e-30, -1e-30, 1e30, -1e30, float("inf"), float("-inf"), 1e9, 0.5])
hostile_rows = st.sampled_from(
    [
        np.full(N_VOCAB, np.nan, np.float32),
        np.full(N_VOCAB, -np.inf, np.float32),
        np.full(N_VOCAB, np.inf, np.float32),
        np.zeros(N_VOCAB, np.float32),
        np.full(N_VOCAB, 3e38, np.float32),
        np.full(N_VOCAB, -3e38, np.float32),
        np.where(np.arange(N_VOCAB) % 7, ROWS[0], np.nan).astype(np.float32),
        np.where(np.arange(N_VOCAB) % 7, ROWS[0], np.inf).astype(np.float32),
        np.where(np.arange(N_VOCAB) == 5, ROWS[0], -np.inf).astype(np.float32),
        ROWS[0] * np.float32(1e10),
        ROWS[0],
    ]
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    st.dictionaries(st.sampled_from(broken), extreme, max_size=6),
    st.dictionaries(st.sampled_from(whole), extreme_whole, max_size=4),
    st.just(SAMPLER_ORDER) | st.lists(st.sampled_from(SAMPLERS), max_size=8),
    st.dictionaries(st.integers(0, N_VOCAB - 1), extreme, max_size=5),
    hostile_rows,
)
def test_nothing_crashes_it(
    fields: dict[str, float], counts: dict[str, int], order: list[str], biases: dict[int, float], row: Logits
) -> None:
    params = SamplingParams(**fields, **counts, samplers=tuple(order), logit_bias=biases)
    vocab = SamplingVocab(N_VOCAB, np.array(EOG, np.int32), np.zeros(0, np.int32))
    one = Sampler(params, vocab, seed=1, prompt=[5, 5, 6, 5, 5])
    for token in run(one, [row] * 4):
        assert 0 <= token < N_VOCAB


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {}, {"mirostat": 1}, {"top_k": 0, "typical_p": 0.5}])
def test_broken_logits(vocab: SamplingVocab, fields: dict[str, Any]) -> None:
    """NaN is never chosen; where nothing can be, the text ends."""
    row = np.full(N_VOCAB, np.nan, np.float32)
    assert sampler(vocab, **fields).sample(row) == EOG[0]
    row[:] = -np.inf
    assert sampler(vocab, **fields).sample(row) == EOG[0]
    row[9] = -5
    assert sampler(vocab, **fields).sample(row) == 9
    row[10:] = np.nan
    assert sampler(vocab, **fields).sample(row) == 9
    row[12] = np.inf
    assert sampler(vocab, **fields).sample(row) == 12
    banned = dict.fromkeys(range(N_VOCAB), -np.inf)
    assert sampler(vocab, logit_bias=banned, **fields).sample(ROWS[0]) == EOG[0]
    endless = SamplingVocab(N_VOCAB, np.zeros(0, np.int32), np.zeros(0, np.int32))
    assert sampler(endless, logit_bias=banned, **fields).sample(ROWS[0]) == ROWS[0].argmax()


def test_a_banned_token_does_not_spoil_typical_p(vocab: SamplingVocab) -> None:
    """In llama.cpp the entropy becomes NaN then, and an arbitrary set stays."""
    fields = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 0.5}
    worst = int(ROWS[0].argmin())
    rows = [ROWS[0]] * 50
    assert run(sampler(vocab, **fields), rows) == run(sampler(vocab, logit_bias={worst: -np.inf}, **fields), rows)


# --- masks ---


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0, "logit_bias": {7: -np.inf}},
        {"logit_bias": {7: -np.inf}, "typical_p": 0.5},
        {"ignore_eos": True, "min_tokens": 5, "logit_bias": {7: -np.inf}},
    ],
)
def test_one_of_the_mask_is_taken_even_if_banned(vocab: SamplingVocab, fields: dict[str, Any]) -> None:
    mask = np.zeros((N_VOCAB + 31) // 32, np.uint32)
    mask[0] = 1 << 7
    assert sampler(vocab, **fields).sample(ROWS[0], mask) == 7
    assert sampler(vocab, **fields).sample(np.full(N_VOCAB, -np.inf, np.float32), mask) == 7


def test_a_mask_with_typical_p_measures_only_what_is_allowed(vocab: SamplingVocab) -> None:
    """The tokens whose surprise is nearest to the entropy of the allowed ones: with two alike, either of them."""
    row = np.zeros(N_VOCAB, np.float32)
    mask = np.zeros((N_VOCAB + 31) // 32, np.uint32)
    mask[1] = 0b11
    found = {sampler(vocab, seed=i, typical_p=0.9, temperature=1.0).sample(row, mask) for i in range(50)}
    assert found == {32, 33}
