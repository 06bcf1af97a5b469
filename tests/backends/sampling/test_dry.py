"""DRY against llama.cpp's own sampler over the full array, sequence breakers included."""

from __future__ import annotations

import ctypes

import llama_cpp.llama_cpp as C
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.base import SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from backends.llama_cpp.sampling.breakers import BreakerIndex
from backends.llama_cpp.sampling.dry import Dry, suffix_matches
from backends.llama_cpp.sampling.sparse import change_row
from tests.backends.sampling.chains import Reference, changed_logits, dry_sampler, model_like


@pytest.fixture(scope="module")
def index(spelled: int) -> BreakerIndex:
    return BreakerIndex(spelled, C.llama_vocab_n_tokens(spelled))


def tokens_of(handle: int, text: str) -> list[int]:
    tokens = (C.llama_token * 1000)()
    return tokens[: C.llama_tokenize(handle, text.encode(), len(text.encode()), tokens, 1000, False, False)]


words = st.lists(st.sampled_from([" the", " and", ":", "\n", "x", " of the", "é", "*", '"']), max_size=12).map("".join)
repetitive = st.builds(lambda once, again, n: once + again * n, words, words, st.integers(0, 4))
breaker_lists = st.lists(
    st.sampled_from(["\n", ":", '"', "*", "the and", " the and", "of", "é", "nd", "he x", "", "xx:"]), max_size=5
)


@settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    prompt=repetitive,
    generated=repetitive,
    multiplier=st.floats(0.1, 3),
    base=st.sampled_from([1.0, 1.1, 1.75, 4.0, 900.0]),
    allowed=st.integers(0, 6),
    last_n=st.sampled_from([-1, 1, 2, 7, 30, 64, 500]),
    breakers=breaker_lists,
)
def test_as_llama_cpp(
    spelled: int,
    index: BreakerIndex,
    prompt: str,
    generated: str,
    multiplier: float,
    base: float,
    allowed: int,
    last_n: int,
    breakers: list[str],
) -> None:
    params = SamplingParams(
        dry_multiplier=multiplier,
        dry_base=base,
        dry_allowed_length=allowed,
        dry_penalty_last_n=last_n,
        dry_sequence_breakers=tuple(breakers),
    )
    row = model_like(np.random.default_rng(0), C.llama_vocab_n_tokens(spelled))
    before, after = tokens_of(spelled, prompt), tokens_of(spelled, generated)
    ours = Dry(params, before, index)
    theirs = dry_sampler(params, spelled, 1000)
    for token in before:
        C.llama_sampler_accept(theirs, token)
    for token in after:
        ours.accept(token)
        C.llama_sampler_accept(theirs, token)
    expected = changed_logits(theirs, row)
    C.llama_sampler_free(theirs)
    changed = row.copy()
    change_row(ours, changed)
    lowest = np.finfo(np.float32).min  # where llama.cpp's penalty is infinite
    np.testing.assert_allclose(changed, np.maximum(expected, lowest), rtol=1e-6)


def test_it_penalises_at_all(spelled: int, index: BreakerIndex) -> None:
    """The property above would hold for samplers that do nothing."""
    a, b, c = (tokens_of(spelled, letter)[-1] for letter in "xyq")
    dry = Dry(SamplingParams(dry_multiplier=1.0, dry_base=2.0), [a, b, c, a, b, c, a, b], index)
    assert dry.affected().tolist() == [c]
    assert dry.changed(np.zeros(1, np.float32), slice(None)).tolist() == [-(2.0**3)]
    for breaker, expected in (("y", []), ("x", []), ("q", []), (":", [c])):
        params = SamplingParams(dry_multiplier=1.0, dry_sequence_breakers=(breaker,))
        assert Dry(params, [a, b, c, a, b], index).affected().tolist() == expected


def test_breakers_span_tokens(spelled: int, index: BreakerIndex) -> None:
    """A breaker that begins in one token and ends in later ones; one inside a token; long ones are cut."""
    the = next(token for token in tokens_of(spelled, "x the") if token_text(spelled, token) in (b" the", b"the"))
    rest = tuple(tokens_of(spelled, " and"))
    assert index.find(("he",)).longest_tail(the, ()) == 0
    assert index.find(("the and",)).longest_tail(the, rest) == len(rest)
    assert index.find(("the and",)).longest_tail(the, (the, *rest)) == -1
    both = index.find(("the and", "he"))
    assert (both.longest_tail(the, ()), both.longest_tail(the, rest)) == (0, len(rest))
    longer = tuple(tokens_of(spelled, " and of"))
    for texts in (("the and", "the and of"), ("the and of", "the and")):
        assert index.find(texts).longest_tail(the, longer) == len(longer)
        assert index.find(texts).longest_tail(the, rest) == len(rest)
    ell = tuple(tokens_of(spelled, "l"))
    for token in tokens_of(spelled, "x all"):  # holds all of it; that it ends as it begins doesn't count
        assert index.find(("ll",)).longest_tail(token, ell) == (0 if b"ll" in token_text(spelled, token) else -1)
    assert (index.find(("a" * 41,)).alone == index.find(("a" * 40,)).alone).all()
    assert not index.find(("",)).alone.any()


def token_text(handle: int, token: int) -> bytes:
    buffer = ctypes.create_string_buffer(64)
    n = C.llama_detokenize(handle, (C.llama_token * 1)(token), 1, buffer, 64, False, True)
    return buffer.raw[:n]


def test_long_runs(spelled: int, index: BreakerIndex) -> None:
    """Over the ends of the buffers, breakers coming and going."""
    rng = np.random.default_rng(3)
    row = model_like(rng, C.llama_vocab_n_tokens(spelled))
    tokens = [tokens_of(spelled, "x" + text)[-1] for text in (":", " the", " and", " of", " to")]
    for last_n in (-1, 6, 10, 200):
        params = SamplingParams(
            dry_multiplier=0.8,
            dry_penalty_last_n=last_n,
            dry_sequence_breakers=(":", "the and of"),
            dry_allowed_length=1,
        )
        ours, theirs = Dry(params, [], index), dry_sampler(params, spelled, 1000)
        for token in rng.choice(tokens, 600, p=[0.02, 0.2, 0.2, 0.2, 0.38]).tolist():
            ours.accept(token)
            C.llama_sampler_accept(theirs, token)
            changed = row.copy()
            change_row(ours, changed)
            np.testing.assert_allclose(changed, changed_logits(theirs, row), rtol=1e-6)
        C.llama_sampler_free(theirs)


@pytest.mark.parametrize("samplers", [("dry", "top_k"), ("top_k", "dry"), ("min_p", "penalties", "dry", "temperature")])
def test_draws_with_dry_anywhere_in_the_chain(spelled: int, samplers: tuple[str, ...]) -> None:
    vocab = SamplingVocab.from_model(spelled)
    params = SamplingParams(dry_multiplier=2.0, repeat_penalty=1.2, min_p=0.01, samplers=samplers)
    rng = np.random.default_rng(1)
    rows = [model_like(rng, vocab.n_vocab, 0.4) for _ in range(30)]
    prompt = rng.integers(100, 103, 50).tolist()
    for row in rows:
        row[100:103] = 6, 5, 4
    ours = Sampler(params, vocab, seed=3, prompt=prompt)
    theirs = Reference(params, vocab.n_vocab, 3, prompt, handle=spelled)
    for row in rows:
        token = theirs.sample(row)
        assert ours.sample(row) == token
        ours.accept(token)
        theirs.accept(token)


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.integers(0, 2), max_size=40))
def test_suffix_matches(tokens: list[int]) -> None:
    n = len(tokens)

    def match(end: int) -> int:
        return next(i for i in range(end + 2) if i > end or tokens[end - i] != tokens[n - 1 - i])

    assert suffix_matches(tokens) == [match(j) for j in range(n - 1)] + [0] * (n > 0)
