"""A converted model cuts text into the tokens that Transformers cuts it into."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
from gguf.vocab import bytes_to_unicode
from sentencepiece import SentencePieceProcessor
from transformers import PreTrainedTokenizerFast

from backends.gguf.convert.conversion import Conversion
from backends.gguf.convert.errors import ConvertError
from backends.llama_cpp.vocab import Vocabulary

from . import checkpoints
from .checkpoints import save_meta
from .gguf_logits import gguf_tokens
from .tokenizers import (
    LLAMA_3,
    MARKED,
    QWEN_2,
    SEED_CODER,
    TEKKEN,
    TRICKY,
    byte_level,
    llama_tokenizer,
    sentencepiece_model,
    tokenizer_json,
)

BYTE_LEVEL: dict[str, dict[str, Any]] = {
    "llama-bpe": {"regex": LLAMA_3, "whole_words": True, "bos": True},
    "smaug-bpe": {"regex": LLAMA_3},
    "qwen2": {"regex": QWEN_2, "nfc": True},
    "tekken": {"regex": TEKKEN, "whole_words": True, "bos": True},
    "seed-coder": {"regex": SEED_CODER},
    "gpt-2": {"regex": None},
    "smollm": {"regex": None, "digits": True},
}


def convert(folder: Path, n_rows: int = 512) -> Path:
    checkpoints.llama(vocab_size=n_rows, num_hidden_layers=1).save_pretrained(folder)
    path = folder / "out.gguf"
    Conversion(folder).write(path, lambda *_: None)
    return path


@pytest.mark.parametrize("pre", BYTE_LEVEL)
def test_byte_level(pre: str, tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path, **BYTE_LEVEL[pre])
    path = convert(tmp_path)
    assert _field(path, "tokenizer.ggml.pre") == pre
    texts = TRICKY + MARKED
    assert gguf_tokens(path, texts) == [tokenizer.encode(text) for text in texts]
    info = Vocabulary(str(path)).info()
    assert info.pieces[500:505] == [b"<|bos|>", b"<|im_start|>", b"<|im_end|>", b"<think>", b"</think>"]
    assert {500, 501, 502} <= info.control_tokens and not {503, 504} & info.control_tokens
    assert (info.bos, info.eos) == (500, 502)


@pytest.mark.parametrize("files", ["tokenizer.model", "tokenizer.json", "both"])
@pytest.mark.parametrize("legacy", [True, False])
def test_sentencepiece(files: str, legacy: bool, tmp_path: Path, piece_model: bytes) -> None:
    folder = tmp_path / "checkpoint"
    tokenizer = llama_tokenizer(folder, piece_model, keep_model=files != "tokenizer.json", legacy=legacy)
    if files == "tokenizer.model":
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (folder / file).unlink()
    path = convert(folder, 608)
    # Transformers 5 puts no space before text that begins with one; SentencePiece and llama.cpp do.
    spaced = [text for text in TRICKY if text.startswith(" ")]
    pieces = SentencePieceProcessor(model_proto=piece_model)
    assert gguf_tokens(path, spaced) == [[1, *pieces.encode(text)] for text in spaced]
    others = [text for text in TRICKY if text not in spaced]
    assert gguf_tokens(path, others) == [tokenizer.encode(text) for text in others]
    info = Vocabulary(str(path)).info()
    assert (info.bos, info.eos, info.add_bos) == (1, 2, True)
    types = _field(path, "tokenizer.ggml.token_type")
    assert [gguf.TokenType(types[i]).name for i in (0, 1, 3, 400, 607)] == [
        "UNKNOWN", "CONTROL", "BYTE", "NORMAL", "UNUSED",
    ]  # fmt: skip
    if not legacy and files != "tokenizer.model":
        assert any("puts a space before text" in note for note in Conversion(folder).notes)


def test_sentencepiece_as_transformers_4_saved_it(tmp_path: Path, piece_model: bytes) -> None:
    llama_tokenizer(tmp_path, piece_model, keep_model=False)
    saved = tokenizer_json(tmp_path)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    saved["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}
    saved["pre_tokenizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    texts = [text for text in TRICKY if text] + ["Hello</s> world", "a</s><s>b"]
    assert gguf_tokens(convert(tmp_path, 600), texts) == [tokenizer.encode(text) for text in texts]


def test_sentencepiece_without_a_space_before(tmp_path: Path) -> None:
    model = sentencepiece_model(add_dummy_prefix=False)
    (tmp_path / "tokenizer.model").write_bytes(model)
    path = convert(tmp_path, 600)
    assert _field(path, "tokenizer.ggml.add_space_prefix") is False


def test_code_llamas_end_of_infilling(tmp_path: Path) -> None:
    marks = ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>"]
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model(control_symbols=marks))
    info = Vocabulary(str(convert(tmp_path, 600))).info()
    assert [info.pieces[i] for i in (info.fim_prefix, info.fim_middle, info.fim_suffix, info.eot) if i is not None] == [
        mark.encode() for mark in marks
    ]
    assert info.eot in info.eog_tokens


def test_llama_3s_own_file(tmp_path: Path) -> None:
    """Its tokens and merges are those of the tokenizer from whose vocabulary the file is made."""
    tokenizer = byte_level(tmp_path / "hf", LLAMA_3, whole_words=True)
    letters = {letter: byte for byte, letter in bytes_to_unicode().items()}
    vocab = tokenizer_json(tmp_path / "hf")["model"]["vocab"]
    # Ranks are in order of merging; the trainer numbers the alphabet by letters first, then merges.
    lines = [
        base64.b64encode(bytes(letters[letter] for letter in text)).decode() + f" {rank}"
        for text, rank in sorted(vocab.items(), key=lambda item: item[1])
    ]
    folder = tmp_path / "meta"
    save_meta(checkpoints.llama(vocab_size=756, intermediate_size=192), folder, 1)
    (folder / "tokenizer.model").write_text("\n".join(lines))
    path = tmp_path / "out.gguf"
    Conversion(folder).write(path, lambda *_: None)
    got = gguf_tokens(path, TRICKY, add_special=False)
    assert got == [tokenizer.encode(text, add_special_tokens=False) for text in TRICKY]
    info = Vocabulary(str(path)).info()
    assert (info.bos, info.eos, info.add_bos) == (500, 501, True)
    assert info.pieces[509] == b"<|eot_id|>" and 509 in info.eog_tokens


def test_every_end_of_sequence_ends(tmp_path: Path) -> None:
    byte_level(tmp_path, QWEN_2)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [502, 503, 504]}))
    checkpoints.llama(num_hidden_layers=1, eos_token_id=[502]).save_pretrained(tmp_path / "model")
    for file in ("config.json", "model.safetensors"):
        shutil.copy(tmp_path / "model" / file, tmp_path)
    path = tmp_path / "out.gguf"
    Conversion(tmp_path).write(path, lambda *_: None)
    assert {502, 503, 504} <= Vocabulary(str(path)).info().eog_tokens


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_chat_template(place: str, tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    byte_level(tmp_path, QWEN_2, template=template)
    if place == "tokenizer_config.json":
        config = json.loads((tmp_path / place).read_text())
        (tmp_path / place).write_text(json.dumps(config | {"chat_template": template}))
        (tmp_path / "chat_template.jinja").unlink()
    assert _field(convert(tmp_path), "tokenizer.chat_template") == template


def test_added_tokens_without_a_row_are_left_out(tmp_path: Path) -> None:
    byte_level(tmp_path, QWEN_2)
    checkpoints.llama(vocab_size=504, num_hidden_layers=1).save_pretrained(tmp_path)
    conversion = Conversion(tmp_path)
    assert conversion.notes == ["tokens that the embeddings have no row for are left out: </think>"]


def test_tokens_beyond_the_embeddings(tmp_path: Path) -> None:
    byte_level(tmp_path, QWEN_2)
    checkpoints.llama(vocab_size=400, num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ConvertError, match="the embeddings have 400 rows"):
        Conversion(tmp_path)


def test_another_regex_is_refused(tmp_path: Path) -> None:
    byte_level(tmp_path, QWEN_2.replace(r"\p{N}", r"\p{N}{1,2}", 1))
    with pytest.raises(ConvertError, match="splits text in a way that this command doesn't know"):
        convert(tmp_path)


def test_merges_that_scores_cant_say_are_refused(tmp_path: Path, piece_model: bytes) -> None:
    llama_tokenizer(tmp_path, piece_model, keep_model=False)
    changed = tokenizer_json(tmp_path)
    del changed["model"]["merges"][50]
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed))
    with pytest.raises(ConvertError, match="never merges"):
        convert(tmp_path, 600)


def test_unigram_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model(model_type="unigram", vocab_size=380))
    with pytest.raises(ConvertError, match="is a Unigram model"):
        convert(tmp_path)


def _field(path: Path, name: str) -> Any:
    return gguf.GGUFReader(path).fields[name].contents()
