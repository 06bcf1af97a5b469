"""Log-probabilities against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from backends.llama_cpp.sampling import log_probabilities
from tests.backends.sampling.chains import model_like


@pytest.mark.parametrize("n", [1, 2, 50, 4000, 151_936])
@pytest.mark.parametrize("n_top", [0, 1, 5, 20, 600])
def test_against_numpy(n: int, n_top: int) -> None:
    logits = model_like(np.random.default_rng(n), n)
    before = logits.copy()
    exact = logits.astype(np.float64)
    exact = exact - (exact.max() + np.log(np.exp(exact - exact.max()).sum()))
    for token in (0, n // 2, int(logits.argmax())):
        found = log_probabilities(logits, token, n_top)
        assert found.logprob == pytest.approx(exact[token], abs=1e-5)
        best = np.argsort(-exact, kind="stable")[:n_top]
        assert [token for token, _ in found.top] == best.tolist()
        assert [value for _, value in found.top] == pytest.approx(exact[best].tolist(), abs=1e-5)
    assert (logits == before).all()


def test_equal_ones_by_id() -> None:
    logits = np.zeros(3000, np.float32)
    logits[[700, 20, 2999]] = 1
    assert [token for token, _ in log_probabilities(logits, 0, 5).top] == [20, 700, 2999, 0, 1]


def test_no_numbers() -> None:
    """-9999 is OpenAI's value for what is all but impossible."""
    logits = np.zeros(4, np.float32)
    logits[[1, 2]] = -np.inf, np.nan
    found = log_probabilities(logits, 1, 4)
    assert found.logprob == -9999
    assert found.top == [(0, pytest.approx(-np.log(2))), (3, pytest.approx(-np.log(2))), (1, -9999), (2, -9999)]
    logits[:] = np.nan
    assert log_probabilities(logits, 1, 2).top == [(0, -9999), (1, -9999)]
    logits[3] = np.inf
    assert log_probabilities(logits, 3, 1).top == [(3, 0)]
