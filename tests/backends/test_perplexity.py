"""Perplexity, against a plain computation from the low-level API's logits."""

from __future__ import annotations

import math
from pathlib import Path

import llama_cpp.llama_cpp as C
import numpy as np
import pytest

from backends.engine_options import EngineOptions
from backends.llama_cpp import perplexity as module
from backends.llama_cpp.job import JobFailed
from backends.llama_cpp.perplexity import Perplexity, PerplexityOrder, perplexity, perplexity_here
from backends.llama_cpp.vocab import Vocabulary
from tests.models.families import write_model
from tests.models.lowlevel import Entry, opened

TEXT = ("the word of the first people — were they not there? Some would say so. " * 30).encode()
N_CTX = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("perplexity")


def order(
    path: Path, n_ctx: int = N_CTX, base: Path | None = None, n_chunks: int = -1, **options: object
) -> PerplexityOrder:
    exact = {"flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32", "n_threads": 1, **options}
    return PerplexityOrder(
        options=EngineOptions(model_path=str(path), n_ctx=n_ctx, n_parallel=1, **exact),  # type: ignore[arg-type]
        text=TEXT,
        n_chunks=n_chunks,
        base_model=None if base is None else str(base),
    )


def here(asked: PerplexityOrder) -> Perplexity:
    return perplexity_here(asked, lambda _done, _total: None)


def reference(path: Path, n_ctx: int = N_CTX) -> tuple[float, float, int]:
    """Perplexity, its error and the number of scored tokens: one token at a time, all logits, no cleverness."""
    vocabulary = Vocabulary(str(path))
    tokens = vocabulary.tokenize(TEXT, add_special=True, parse_special=False)
    info = vocabulary.info()
    losses = []
    with opened(path, flash_attn=False, cache_type=C.GGML_TYPE_F32) as low:
        for begin in range(0, len(tokens) - n_ctx + 1, n_ctx):
            chunk = tokens[begin : begin + n_ctx]
            if info.add_bos:
                chunk = [info.bos, *chunk[1:]]
            low.clear()
            for i in range(n_ctx - 1):
                row = low.decode([Entry(chunk[i], i, 0)])[0].astype(np.float64)
                if i >= n_ctx // 2:
                    losses.append(math.log(np.exp(row - row.max()).sum()) - (row[chunk[i + 1]] - row.max()))
    value = math.exp(np.mean(losses))
    return value, value * float(np.std(losses)) / math.sqrt(len(losses) - 1), len(losses)


@pytest.mark.parametrize(("family", "spm"), [("llama", False), ("llama", True), ("qwen2", False), ("mamba", False)])
def test_it_is_the_mean_loss_of_second_halves(family: str, spm: bool, folder: Path) -> None:
    path = write_model(folder / f"{family}-{spm}.gguf", family, spm=spm)
    value, error, n_scored = reference(path)
    found = here(order(path))
    assert found.perplexity.value == pytest.approx(value, rel=1e-4)
    assert found.perplexity.error == pytest.approx(error, rel=1e-3)
    assert found.n_scored == n_scored == found.n_chunks * (N_CTX - N_CTX // 2 - 1)
    assert found.n_tokens == found.n_chunks * (N_CTX - 1)


def test_neither_batches_nor_logits_rows_matter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(folder / "a.gguf", "llama")
    whole = here(order(path, n_ctx=300))
    assert here(order(path, n_ctx=300, n_batch=70)).perplexity.value == pytest.approx(whole.perplexity.value, rel=1e-4)
    monkeypatch.setattr(module, "MOST_LOGITS", 1)  # as few as a context ever has: 2, for its sequences
    monkeypatch.setattr(module, "SCORED_ROWS", 3)
    few = here(order(path, n_ctx=300))
    assert few.perplexity.value == pytest.approx(whole.perplexity.value, rel=1e-4)
    assert few.n_scored == whole.n_scored


def test_a_model_does_not_diverge_from_itself(folder: Path) -> None:
    path = write_model(folder / "b.gguf", "llama")
    found = here(order(path, base=path)).divergence
    assert found is not None
    assert abs(found.kl.value) < 1e-9
    assert found.same_top == 1
    assert found.ratio.value == pytest.approx(1)


def test_divergence_from_another_model(folder: Path) -> None:
    path, base = write_model(folder / "c.gguf", "llama"), write_model(folder / "d.gguf", "llama", seed=2)
    found = here(order(path, base=base))
    assert found.divergence is not None
    assert found.divergence.base_perplexity.value == pytest.approx(here(order(base)).perplexity.value, rel=1e-6)
    assert found.divergence.ratio.value == pytest.approx(
        found.perplexity.value / found.divergence.base_perplexity.value, rel=1e-9
    )
    assert 0.5 < found.divergence.kl.value < found.divergence.kl_99
    assert found.divergence.same_top < 0.2


def test_chunks_are_counted(folder: Path) -> None:
    path = write_model(folder / "e.gguf", "llama")
    assert here(order(path, n_chunks=2)).n_chunks == 2
    assert here(order(path, n_chunks=10_000)).n_chunks == here(order(path)).n_chunks
    with pytest.raises(JobFailed, match="and a chunk 100000: give more text"):
        here(order(path, n_ctx=100_000))


def test_other_vocabularies_cannot_be_compared(folder: Path) -> None:
    path, other = write_model(folder / "f.gguf", "llama"), write_model(folder / "g.gguf", "llama", spm=True)
    with pytest.raises(JobFailed, match="its vocabulary is another one"):
        here(order(path, base=other))


def test_a_process_of_its_own_reports_and_answers(folder: Path) -> None:
    path = write_model(folder / "h.gguf", "llama")
    reports: list[tuple[int, int]] = []
    found = perplexity(order(path), lambda *report: reports.append(report))
    assert found.perplexity.value == pytest.approx(here(order(path)).perplexity.value, rel=1e-9)
    assert reports == [(i * N_CTX, found.n_chunks * N_CTX) for i in range(found.n_chunks + 1)]
    with pytest.raises(JobFailed, match="No such file"):
        perplexity(order(folder / "nothing.gguf"))
