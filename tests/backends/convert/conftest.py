"""Tokenizers and checkpoints that several tests convert, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel

from backends.gguf.convert.conversion import Conversion

from .tokenizers import QWEN_2, byte_level, sentencepiece_model

Save = Callable[..., Path]

if find_spec("torch") is None:
    collect_ignore_glob = ["test_[!p]*.py"]  # test_pytorch.py says so


@pytest.fixture(scope="session")
def bpe_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a byte-level tokenizer of 505 tokens."""
    folder = tmp_path_factory.mktemp("bpe")
    byte_level(folder, QWEN_2)
    return folder


@pytest.fixture(scope="session")
def piece_model() -> bytes:
    """A SentencePiece model of 600 pieces."""
    return sentencepiece_model()


@pytest.fixture
def saved(tmp_path: Path, bpe_files: Path) -> Save:
    """Saves a model with the byte-level tokenizer beside it."""

    def save(model: PreTrainedModel, name: str = "checkpoint", **options: Any) -> Path:
        folder = tmp_path / name
        model.save_pretrained(folder, **options)
        shutil.copytree(bpe_files, folder, dirs_exist_ok=True)
        return folder

    return save


def converted(folder: Path, outtype: str = "f32") -> Path:
    """The GGUF of a checkpoint, beside it."""
    path = folder.with_suffix(f".{outtype}.gguf")
    Conversion(folder, outtype).write(path, lambda *_: None)
    return path
