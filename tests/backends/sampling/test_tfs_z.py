"""Tail-free sampling's cut, worked out by hand. (Whole distributions: test_distributions.py.)"""

from __future__ import annotations

import numpy as np
import pytest

from backends.base import SamplingParams
from backends.llama_cpp.sampling import Sampler, SamplingVocab
from backends.llama_cpp.sampling.tfs_z import head_size
from tests.backends.sampling.conftest import N_VOCAB

# First differences 0.3, 0.15, 0.05, 0; second ones 0.15, 0.1, 0.05, of 0.3: running sums 0.5, 0.833, 1.
FALLING = np.array([0.55, 0.25, 0.1, 0.05, 0.05], np.float32)


@pytest.mark.parametrize(
    ("z", "min_keep", "expected"),
    [(0.4, 1, 1), (0.6, 1, 1), (0.9, 1, 2), (0.9, 2, 2), (0.1, 2, 2), (1.0, 1, 5), (0.1, 9, 5)],
)
def test_head_size(z: float, min_keep: int, expected: int) -> None:
    assert head_size(FALLING, z, min_keep) == expected


def test_a_straight_line_is_cut_in_proportion() -> None:
    assert head_size(np.full(102, 1 / 102, np.float32), 0.255, 1) == 25


@pytest.mark.parametrize(("n", "z", "min_keep"), [(2, 0.01, 0), (3, 0.01, 3), (3, 0.99999, 0)])
def test_nothing_is_cut(vocab: SamplingVocab, n: int, z: float, min_keep: int) -> None:
    """From two candidates, nor from three where the one bend there is comes before `min_keep` or the first."""
    row = np.linspace(0, 5, N_VOCAB).astype(np.float32)
    params = SamplingParams(top_k=n, min_p=0.0, top_p=1.0, tfs_z=z, min_keep=min_keep)
    Sampler(params, vocab, seed=1, prompt=[]).sample(row)
    assert vocab.workspace.candidates.size == n
