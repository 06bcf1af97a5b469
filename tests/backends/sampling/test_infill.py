"""The infill sampler: as in llama.cpp's own chain, but where that would end a text that may not end, or the process."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import gguf
import llama_cpp.llama_cpp as C
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import SAMPLERS, SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from backends.llama_cpp.sampling.chain import MAX_INFILL
from tests.backends.sampling.chains import Logits, Reference, draws, load_vocab, model_like
from tests.models.vocab import bpe_vocab

LLAMA_VIM: dict[str, Any] = {"top_k": 40, "top_p": 0.9, "samplers": ("top_k", "top_p", "infill")}
FAMILIES = (" the", " them", " then", " there", " these", " be", " been", " to", " two", " time", " water", " so")
APART = (" was", " his", " you", " on", " are", " from", " call", " my", " day", " get")
"""None begins with another."""


@pytest.fixture(scope="module")
def vocab(spelled: int) -> SamplingVocab:
    return SamplingVocab.from_model(spelled)


@pytest.fixture(scope="module")
def ids(spelled: int) -> dict[str, int]:
    """Every token by its text; not the bytes, of which two vocabularies have two."""
    found = {}
    for token in range(C.llama_vocab_n_tokens(spelled)):
        room = ctypes.create_string_buffer(64)
        length = C.llama_token_to_piece(spelled, token, room, 64, 0, True)
        found[room.raw[:length].decode(errors="replace")] = token
    return found


def sampler(vocab: SamplingVocab, seed: int = 1, **fields: Any) -> Sampler:
    return Sampler(SamplingParams(**fields), vocab, seed=seed, prompt=[])


def drawn(vocab: SamplingVocab, row: Logits, **fields: Any) -> set[int]:
    """The first token, with many seeds."""
    return {sampler(vocab, seed, **fields).sample(row) for seed in range(30)}


def row_of(vocab: SamplingVocab, ids: dict[str, int], probabilities: dict[str, float]) -> Logits:
    row = np.linspace(-60, -50, vocab.n_vocab, dtype=np.float32)
    for text, probability in probabilities.items():
        row[ids[text]] = np.log(probability)
    return row


def rows_of(vocab: SamplingVocab, ids: dict[str, int]) -> list[Logits]:
    """Some where nothing is likely, some where texts begin alike, some with a likely end."""
    rng = np.random.default_rng(4)
    rows = [model_like(rng, vocab.n_vocab, sharpness) for sharpness in (0.2, 0.4, 0.6, 0.8) * 10]
    for i, row in enumerate(rows):
        if i % 2:
            row[[ids[text] for text in FAMILIES]] += rng.uniform(2, 7)
        if i % 5 == 0:
            row[vocab.eog[i % len(vocab.eog)]] = row.max() - rng.uniform(0, 8)
    return rows


@pytest.mark.parametrize(
    "fields",
    [
        LLAMA_VIM,
        LLAMA_VIM | {"samplers": ("infill", "top_k", "top_p"), "logit_bias": {5: 3.0}, "top_k": 3},
        {"samplers": ("top_k", "infill", "temperature")},
        {"samplers": ("top_k", "infill", "temperature"), "temperature": 0.0},
        {"samplers": ("temperature", "infill"), "temperature": 0.0},
        {"samplers": ("top_k", "infill"), "top_k": 1},
        {"samplers": ("temperature", "min_p", "infill"), "min_p": 0.02},
        {"samplers": ("top_k", "infill", "xtc"), "xtc_probability": 0.5, "xtc_threshold": 0.2},
        {"samplers": ("top_k", "infill", "adaptive_p"), "adaptive_target": 0.3},
        {"samplers": ("top_k", "infill", "penalties", "infill"), "repeat_penalty": 1.3},
    ],
)
def test_same_draws_as_llama_cpps_chain(
    spelled: int, vocab: SamplingVocab, ids: dict[str, int], fields: dict[str, Any]
) -> None:
    """Where infill comes first, llama.cpp's gets no more than the 256 best either."""
    params = SamplingParams(**fields)
    names = params.samplers if params.samplers[0] != "infill" else ("cut", *params.samplers)
    rows = rows_of(vocab, ids)
    for seed in range(5):
        ours = Sampler(params, vocab, seed=seed, prompt=[])
        theirs = Reference(params, vocab.n_vocab, seed, handle=spelled, names=names)
        assert draws(ours, rows) == draws(theirs, rows)


def test_the_likelier_of_two_that_begin_alike_takes_it_all(vocab: SamplingVocab, ids: dict[str, int]) -> None:
    alike = {" the": 0.155, " then": 0.14, " there": 0.12, " these": 0.11}
    row = row_of(vocab, ids, alike | {" be": 0.15, " was": 0.145, " go": 0.13})
    assert drawn(vocab, row, **LLAMA_VIM) == {ids[" the"]}
    assert len(drawn(vocab, row, **LLAMA_VIM | {"samplers": ("top_k", "top_p")})) > 3
    row = row_of(vocab, ids, {" the": 0.2, " then": 0.3, " was": 0.18, " his": 0.17, " you": 0.15})
    assert drawn(vocab, row, **LLAMA_VIM) == {ids[" then"]}


def test_where_nothing_is_likely_the_text_ends(spelled: int, vocab: SamplingVocab, ids: dict[str, int]) -> None:
    """Even by a token that top_k has dropped; and so at temperature 0."""
    row = row_of(vocab, ids, dict.fromkeys(APART, 0.1))
    row[ids[" day"]] += 0.5
    end = C.llama_vocab_eot(spelled)
    assert drawn(vocab, row, **LLAMA_VIM | {"top_k": 10}) == {end}
    greedy: dict[str, Any] = {"samplers": ("top_k", "infill", "temperature"), "temperature": 0.0}
    assert drawn(vocab, row, **greedy) == {end}
    assert drawn(vocab, row, **greedy | {"samplers": ("top_k", "temperature", "infill")}) == {ids[" day"]}


def test_an_end_that_is_likelier_than_a_third_of_the_others(vocab: SamplingVocab, ids: dict[str, int]) -> None:
    end = int(vocab.eog[0])
    row = row_of(vocab, ids, {" the": 0.7, " was": 0.3})
    row[end] = np.log(0.2)
    assert drawn(vocab, row, **LLAMA_VIM | {"top_p": 1.0, "top_k": 3}) == {end}
    row[end] = np.log(0.05)
    assert ids[" the"] in drawn(vocab, row, **LLAMA_VIM | {"top_p": 1.0, "top_k": 3})


def test_a_text_that_may_not_end_goes_on(spelled: int, vocab: SamplingVocab, ids: dict[str, int]) -> None:
    """llama.cpp's sampler takes the end all the same."""
    row = row_of(vocab, ids, dict.fromkeys(APART, 0.1))
    row[ids[" day"]] += 0.1
    row[ids[" get"]] += 0.2
    end = C.llama_vocab_eot(spelled)
    bans: list[dict[str, Any]] = [{"ignore_eos": True}, {"logit_bias": {end: -np.inf}}, {"min_tokens": 1}]
    for ban in bans:
        one = sampler(vocab, **LLAMA_VIM, **ban)
        token = one.sample(row)
        assert token == ids[" get"]
        one.accept(token)
        assert one.sample(row) == (end if "min_tokens" in ban else token)
    may = np.zeros(-(-vocab.n_vocab // 32) * 32, np.bool_)
    may[[ids[text] for text in APART]] = True
    may[ids[" get"]] = False
    mask = np.packbits(may, bitorder="little").view(np.uint32)
    assert sampler(vocab, **LLAMA_VIM).sample(row, mask) == ids[" day"]


def test_replay(vocab: SamplingVocab, ids: dict[str, int]) -> None:
    """It draws nothing, and keeps nothing."""
    rows = rows_of(vocab, ids)
    tokens = draws(sampler(vocab, **LLAMA_VIM), rows)
    resumed = sampler(vocab, **LLAMA_VIM)
    for token in tokens[:12]:
        resumed.pass_over()
        resumed.accept(token)
    assert draws(resumed, rows[12:]) == tokens[12:]


# --- vocabularies that llama.cpp's sampler can't take: it would end the process ---


def write(path: Path, tokens: list[str], merges: list[str]) -> Path:
    """A vocabulary without a token that ends texts, if it has fewer than 12 tokens: the last is llama.cpp's default."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([int(gguf.TokenType.NORMAL)] * len(tokens))
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["no end", "a long text"])
def test_a_vocabulary_that_it_cant_take(tmp_path: Path, kind: str) -> None:
    if kind == "no end":
        path = write(tmp_path / "vocab.gguf", [*"abcdefghi", "ab"], ["a b"])
    else:
        whole = bpe_vocab()
        path = write(tmp_path / "vocab.gguf", [*whole.tokens, "a" * 513], whole.merges)
    model = load_vocab(path)
    vocab = SamplingVocab.from_model(C.llama_model_get_vocab(model))
    assert not vocab.can_infill
    row = np.zeros(vocab.n_vocab, np.float32)
    row[0], row[-1] = 0.5, 0.6
    without: dict[str, Any] = {"samplers": ("top_k",), "top_k": 10}
    assert drawn(vocab, row, **without | {"samplers": ("top_k", "infill")}) == drawn(vocab, row, **without)
    C.llama_model_free(model)


def test_a_text_that_just_fits(tmp_path: Path) -> None:
    whole = bpe_vocab()
    model = load_vocab(write(tmp_path / "vocab.gguf", [*whole.tokens, "a" * 512], whole.merges))
    vocab = SamplingVocab.from_model(C.llama_model_get_vocab(model))
    assert vocab.can_infill
    row = np.zeros(vocab.n_vocab, np.float32)
    row[-1] = row[whole.tokens.index("a")] = 9
    assert sampler(vocab, **LLAMA_VIM).sample(row) == whole.tokens.index("a")
    C.llama_model_free(model)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from(SAMPLERS), max_size=4),
    st.lists(st.sampled_from(SAMPLERS), max_size=4),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 3e38, -3e38]),
    st.integers(1, 50),
    st.sampled_from([0.0, 0.8]),
)
def test_nothing_crashes_it(
    vocab: SamplingVocab, before: list[str], after: list[str], value: float, every: int, temperature: float
) -> None:
    row = model_like(np.random.default_rng(1), vocab.n_vocab, 0.4)
    row[::every] = value
    one = sampler(
        vocab,
        temperature=temperature,
        samplers=(*before, "infill", *after),
        typical_p=0.7,
        tfs_z=0.9,
        top_n_sigma=2.0,
        xtc_probability=0.5,
        repeat_penalty=1.2,
        dry_multiplier=0.8,
    )
    for token in draws(one, [row] * 3):
        assert 0 <= token < vocab.n_vocab


def test_these_vocabularies_have_more_than_it_looks_at(vocab: SamplingVocab) -> None:
    assert vocab.n_vocab > MAX_INFILL
