"""What is told from names of files."""

from __future__ import annotations

import pytest

from backends.gguf.file_name import SplitName, is_model_name, model_stem, part_name, split_name


@pytest.mark.parametrize(
    "name",
    [
        "m.gguf",
        "M-Q4_K_M.GGUF",
        "m-00002-of-00003.gguf",
        "Qwen3.6-27B-MTP-Q4_K_M.gguf",  # with such a head in it
        "Qwen3-40B-NEO-Di-IMatrix-MAX-Q4_K_M.gguf",  # quantized by one
        "eagle.gguf",
    ],
)
def test_models(name: str) -> None:
    assert is_model_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "mmproj-F16.gguf",
        "x-mmproj-f16.gguf",
        "X.MMPROJ.gguf",
        "imatrix.gguf",
        "imatrix_unsloth.gguf",
        "M-imatrix.gguf",
        "m.imatrix.gguf",
        "mtp-m-Q8_0.gguf",
        "EAGLE3-x.gguf",
        "dflash-x.gguf",
        "dspark-x.gguf",
        "m.bin",
        "gguf",
        "m.gguf.part",
    ],
)
def test_what_is_none(name: str) -> None:
    assert not is_model_name(name)


def test_parts() -> None:
    assert split_name("a/m-Q8_0-00002-of-00012.gguf") == SplitName("a/m-Q8_0", 2, 12)
    assert split_name("m-00001-of-00002.GGUF") == SplitName("m", 1, 2)
    for name in ("m.gguf", "m-1-of-2.gguf", "m-00001-of-00002.bin", "-00001-of-00002.gguf"):
        assert split_name(name) is None
    assert part_name("m", 2, 12) == "m-00002-of-00012.gguf"


def test_what_a_model_is_called() -> None:
    assert [model_stem(name) for name in ("m.Q8_0.gguf", "m-00001-of-00002.gguf", "m", ".gguf")] == [
        "m.Q8_0", "m", "m", ".gguf",
    ]  # fmt: skip
