"""What a model's name means, where that is a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.model_source import ModelNotFound, local_model


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a b.gguf"
    file.touch()
    assert local_model(str(file)) == file


def test_the_demo_model() -> None:
    assert local_model(None).name == "paddock-demo.gguf"


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.gguf", "there is no file none.gguf"), (".", "is a folder"), (os.fsdecode(b"a\xff.gguf"), "is not UTF-8")],
)
def test_no_model(name: str, words: str) -> None:
    with pytest.raises(ModelNotFound, match=words):
        local_model(name)
