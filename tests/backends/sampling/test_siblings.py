"""Samplers of one request: as if each had read the prompt itself."""

from __future__ import annotations

import numpy as np
import pytest

from backends.base import SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from tests.backends.sampling.chains import model_like

N_VOCAB = 40


@pytest.mark.parametrize("last_n", [-1, 7, 64])
@pytest.mark.parametrize("samplers", [("penalties", "dry", "top_k"), ("top_k", "dry", "penalties"), ("dry",), ()])
def test_siblings_draw_as_others_do(last_n: int, samplers: tuple[str, ...]) -> None:
    """Side by side, each with what it has drawn so far, beyond the room that there is for the prompt."""
    vocab = SamplingVocab(N_VOCAB, np.array([0], np.int32), np.zeros(0, np.int32))
    params = SamplingParams(
        repeat_penalty=1.5,
        frequency_penalty=0.2,
        repeat_last_n=last_n,
        dry_multiplier=0.8,
        dry_penalty_last_n=last_n,
        dry_sequence_breakers=(),
        samplers=samplers,
    )
    rng = np.random.default_rng(1)
    prompt = rng.integers(0, 5, 100).tolist()
    first = Sampler(params, vocab, seed=0, prompt=prompt)
    ours = [first, *(Sampler(params, vocab, seed=i, prompt=prompt, sibling=first) for i in (1, 2))]
    theirs = [Sampler(params, vocab, seed=i, prompt=prompt) for i in range(3)]
    drawn: list[list[int]] = [[], [], []]
    for _ in range(200):
        row = model_like(rng, N_VOCAB)
        row[:5] = rng.normal(10, 1, 5)  # so that much is repeated
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            token = other.sample(row)
            assert one.sample(row) == token
            one.accept(token)
            other.accept(token)
            drawn[i].append(token)
    assert drawn[0] != drawn[1] != drawn[2]
