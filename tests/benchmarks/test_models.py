"""The written models: llama.cpp loads and quantizes them, prompts tokenize as in real ones, and they ramble on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from backends.base import TokenizerInfo
from backends.llama_cpp.vocab import Vocabulary
from benchmarks.models.files import quantize, write_model
from benchmarks.models.shapes import SHAPES, Shape
from benchmarks.prompts import Prompts
from benchmarks.words import prose
from tests.models.lowlevel import Entry, opened

N_TOKENS = 60


def small(name: str) -> Shape:
    """The shape's architecture and vocabulary rules at a size of a few MB."""
    return replace(
        SHAPES[name], n_layer=2, n_embd=256, n_head=4, n_head_kv=2, n_ff=512, n_vocab=8064, n_text=8000, n_ctx=2048
    )


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written as F16."""
    path = tmp_path_factory.mktemp("models") / "F16.gguf"
    write_model(path, request.param, small(request.param))
    return path


@pytest.fixture(scope="module")
def vocabulary(model: Path) -> Vocabulary:
    return Vocabulary(str(model))


@pytest.fixture(scope="module")
def info(vocabulary: Vocabulary) -> TokenizerInfo:
    return vocabulary.info()


def tokens(vocabulary: Vocabulary, text: str) -> list[int]:
    return vocabulary.tokenize(text.encode(), add_special=True, parse_special=True)


def greedy(model: Path, prompt: list[int]) -> list[int]:
    said: list[int] = []
    with opened(model, n_ctx=512, n_batch=256, n_ubatch=256) as low:
        row = low.decode([Entry(token, i, 0) for i, token in enumerate(prompt)])[-1]
        while len(said) < N_TOKENS:
            assert np.isfinite(row).all()
            said.append(int(row.argmax()))
            row = low.decode([Entry(said[-1], len(prompt) + len(said) - 1, 0)])[0]
    return said


def test_prompts_have_about_one_token_and_a_third_per_word(vocabulary: Vocabulary) -> None:
    assert 1.2 < len(tokens(vocabulary, prose(Random(1), 1000))) / 1000 < 1.4


def test_a_prompt_of_so_many_tokens(vocabulary: Vocabulary) -> None:
    def count(text: str) -> int:
        return len(tokens(vocabulary, text))

    for n in (16, 512):
        assert n <= count(Prompts("a", count).tokens(n)) <= n + 8


def test_the_markup_of_chats_is_single_tokens(vocabulary: Vocabulary, info: TokenizerInfo) -> None:
    found = tokens(vocabulary, "<|im_start|>user\nwater<|im_end|>\n")
    assert [info.pieces[token] for token in found] == [b"<|im_start|>", b"user", b"\n", b"water", b"<|im_end|>", b"\n"]
    assert info.eos in info.eog_tokens and found[-2] in info.eog_tokens


def test_json_takes_few_tokens(vocabulary: Vocabulary) -> None:
    text = json.dumps({"product": "paper", "color": "green", "number": 12})
    assert len(tokens(vocabulary, text)) < len(text) / 2


def test_any_text_can_be_spelled(vocabulary: Vocabulary, info: TokenizerInfo) -> None:
    text = "Größe: 日本 🙂\n\t{} 0123"
    assert b"".join(info.pieces[token] for token in tokens(vocabulary, text)).decode() == text


@pytest.mark.parametrize("quantization", ["F16", "Q8_0", "Q4_K_M"])
def test_answers_are_whole_words_for_as_long_as_asked(
    model: Path, vocabulary: Vocabulary, info: TokenizerInfo, quantization: str
) -> None:
    path = model
    if quantization != "F16":
        path = model.with_name(f"{quantization}.gguf")
        quantize(model, path, quantization)
        assert path.stat().st_size < model.stat().st_size
    said = greedy(
        path, tokens(vocabulary, f"<|im_start|>user\n{prose(Random(2), 30)}<|im_end|>\n<|im_start|>assistant\n")
    )
    text = b"".join(info.pieces[token] for token in said).decode()
    assert not set(said) & (info.control_tokens | info.eog_tokens)
    assert len(text.split()) == N_TOKENS and text.isprintable()
    # What a client sends back in the next turn is what the server has in its cache.
    assert vocabulary.tokenize(text.encode(), add_special=False, parse_special=False) == said


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    shape = small("llama-3.2-1b")
    for name in ("a", "b"):
        write_model(tmp_path / name, "x", shape)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
