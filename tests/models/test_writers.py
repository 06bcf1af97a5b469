"""The written test models load, and their greedy text can tell a right engine from a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
import pytest

from tests.models.broken import BROKEN, write_broken
from tests.models.families import FAMILIES, Shape, write_model
from tests.models.kernel_noise import kernel_noise
from tests.models.lowlevel import Entry, LowLevel, opened
from tests.models.reference import assert_same_greedy, greedy
from tests.models.vocab import bpe_vocab, spm_vocab

PROMPTS = ([0, 72, 101, 108, 108, 111], [0, *range(65, 91)], [0, *[97] * 20], [0, *range(97, 123)] * 6)
N_TOKENS = 60
EXACT: dict[str, Any] = {"flash_attn": False, "cache_type": lib.GGML_TYPE_F32}

VARIANTS = [*((family, False) for family in FAMILIES), ("llama", True)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        (family, spm): write_model(folder / f"{family}-{'spm' if spm else 'bpe'}.gguf", family, spm=spm)
        for family, spm in VARIANTS
    }


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant[0] + ("-spm" if variant[1] else ""))
def model(request: pytest.FixtureRequest, models: dict[tuple[str, bool], Path]) -> Path:
    return models[request.param]


def test_is_what_its_family_says(models: dict[tuple[str, bool], Path]) -> None:
    for family, kind in FAMILIES.items():
        with opened(models[family, False]) as low:
            hybrid = kind.recurrent and kind.attention
            assert lib.llama_model_is_hybrid(low.model) == hybrid
            assert lib.llama_model_is_recurrent(low.model) == (kind.recurrent and not hybrid)
            assert lib.llama_model_n_swa(low.model) == (Shape().n_swa if kind.window else 0)
            vocab = lib.llama_model_get_vocab(low.model)
            assert lib.llama_vocab_get_add_bos(vocab) == kind.add_bos
            assert lib.llama_vocab_is_eog(vocab, lib.llama_vocab_eos(vocab))
            assert lib.llama_model_n_ctx_train(low.model) == Shape().n_ctx


def test_greedy_text_is_worth_comparing(model: Path) -> None:
    runs = [greedy(model, prompt, N_TOKENS) for prompt in PROMPTS]
    for run in runs:
        assert not run.ended
        counts = np.bincount(run.tokens)
        assert len(set(run.tokens)) >= 15 and counts.max() <= 30, run.tokens
    assert len({tuple(run.tokens) for run in runs}) == len(runs)
    gaps = np.concatenate([run.gaps for run in runs])
    assert 0.2 < np.median(gaps) < 0.8
    assert np.quantile(gaps, 0.9) < 3


def test_the_beginning_of_the_prompt_matters(model: Path) -> None:
    prompt = list(PROMPTS[1])
    other = [prompt[0], 48, *prompt[2:]]
    assert greedy(model, prompt, 20).tokens != greedy(model, other, 20).tokens


def test_no_quiet_token_comes_near(model: Path) -> None:
    spm = "spm" in model.name
    vocab = spm_vocab() if spm else bpe_vocab()
    markup = list(range(len(vocab) - 8, len(vocab)))
    for prompt in PROMPTS:
        logits = greedy(model, prompt, N_TOKENS).logits
        assert not set(logits.argmax(axis=1)) & vocab.quiet
        assert (logits.max(axis=1) - logits[:, markup].max(axis=1)).min() > 3


def test_end_of_generation_can_be_let_in(tmp_path: Path) -> None:
    path = write_model(tmp_path / "ends.gguf", "llama", end_bias=6.0)
    lengths = [len(greedy(path, prompt, 400).tokens) for prompt in PROMPTS]
    assert min(lengths) < 100 and len(set(lengths)) > 1, lengths


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    first, second, third = (
        write_model(tmp_path / f"{i}.gguf", "jamba", seed=seed).read_bytes() for i, seed in enumerate((3, 3, 4))
    )
    assert first == second != third


def test_other_shapes(tmp_path: Path) -> None:
    shape = Shape(n_layer=6, n_embd=128, n_head=8, n_head_kv=4, n_ff=256, n_ctx=4096, n_swa=64)
    for family in FAMILIES:
        with opened(write_model(tmp_path / f"{family}.gguf", family, shape=shape), n_ctx=256) as low:
            assert lib.llama_model_n_ctx_train(low.model) == 4096
            assert np.isfinite(low.decode([Entry(65, 0, 0)])).all()


def _text(low: LowLevel, text: str, *, special: bool = False) -> tuple[list[int], str]:
    """The text's tokens without BOS, and the text that they give back."""
    vocab, data = lib.llama_model_get_vocab(low.model), text.encode()
    tokens = (lib.llama_token * (len(data) + 8))()
    count = lib.llama_tokenize(vocab, data, len(data), tokens, len(tokens), False, special)
    buffer = bytes(4 * len(data) + 64)
    length = lib.llama_detokenize(vocab, tokens, count, buffer, len(buffer), True, special)
    return list(tokens[:count]), buffer[:length].decode()


def test_any_text_can_be_spelled(model: Path) -> None:
    text = 'the number of "words" — é日本🙂語\n\ttabs, 0123 {}'
    with opened(model) as low:
        tokens, back = _text(low, text)
        assert back.strip() == text
        assert len(tokens) < len(text.encode())
        marked, _ = _text(low, "<|im_start|>a<|im_end|>", special=True)
        assert marked[-1] == (spm_vocab() if "spm" in model.name else bpe_vocab()).eot


def test_a_run_in_company_is_accepted_and_a_wrong_one_is_not(model: Path) -> None:
    reference = greedy(model, PROMPTS[1], 30, **EXACT)
    with opened(model, **EXACT) as low:
        low.decode([Entry(70, i, 1, False) for i in range(40)])
        prompt = list(PROMPTS[1])
        row = low.decode([Entry(token, i, 0) for i, token in enumerate(prompt)])[-1]
        ours: list[int] = []
        while len(ours) < 30:
            ours.append(int(row.argmax()))
            position = len(prompt) + len(ours) - 1
            row = low.decode([Entry(80, 40 + len(ours) - 1, 1), Entry(ours[-1], position, 0)])[1]
    noise = 5e-3
    assert assert_same_greedy(ours, reference, noise) <= 1
    for wrong in ([*ours[:10], 33, *ours[11:]], ours[:-1], [*ours, 65]):
        with pytest.raises(AssertionError):
            assert_same_greedy(wrong, reference, noise)


def test_kernel_noise_is_far_below_the_gaps(models: dict[tuple[str, bool], Path]) -> None:
    path = models["llama", False]
    assert kernel_noise(path, **EXACT) < 1e-3
    assert 0 < kernel_noise(path) < 0.2


@pytest.mark.parametrize("fault", [fault for fault in BROKEN if not fault.endswith("_layers")])
def test_broken_files_do_not_load(fault: str, tmp_path: Path) -> None:
    """Those with an absurd number of layers abort the process instead: only an engine in its own process survives."""
    with pytest.raises(RuntimeError, match="does not load"):
        LowLevel(write_broken(tmp_path / f"{fault}.gguf", fault))
