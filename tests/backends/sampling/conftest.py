"""Vocabularies to sample from: one of numbers only, and two that spell text (for DRY's sequence breakers)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import llama_cpp.llama_cpp as C
import numpy as np
import pytest

from backends.llama_cpp.sampling import SamplingVocab
from tests.backends.sampling.chains import load_vocab
from tests.models.vocab_only import write_bpe, write_spm

N_VOCAB = 4000
EOG = (7, 11)


@pytest.fixture(scope="session")
def vocab() -> SamplingVocab:
    return SamplingVocab(N_VOCAB, np.array(EOG, np.int32), np.zeros(0, np.int32))


@pytest.fixture(scope="session", params=["bpe", "spm"])
def spelled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A `llama_vocab`."""
    path: Path = tmp_path_factory.mktemp("vocab") / "vocab.gguf"
    model = load_vocab(write_bpe(path, "gpt-2") if request.param == "bpe" else write_spm(path))
    yield C.llama_model_get_vocab(model)
    C.llama_model_free(model)
