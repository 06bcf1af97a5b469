"""Models in parts: all of them, each at its place, and no other's."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from backends.gguf.byte_reader import GGUFError
from backends.gguf.kind import kind_of
from backends.gguf.model_file import check_model_file, read_model_file
from tests.models.broken import write_broken

N_TENSORS = 7


def _write_parts(folder: Path, name: str = "m") -> list[Path]:
    """A model of three parts, by the gguf library."""
    writer = gguf.GGUFWriter(folder / f"{name}.gguf", "llama", split_max_tensors=3)
    writer.add_block_count(1)
    for i in range(N_TENSORS):
        writer.add_tensor(f"{name}.{i}", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob(f"{name}-*.gguf"))


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return _write_parts(tmp_path)


def _refusal(path: Path) -> str:
    with pytest.raises(GGUFError) as refused:
        check_model_file(path)
    return str(refused.value)


def test_parts_are_one_model(parts: list[Path]) -> None:
    assert [part.name for part in parts] == [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    model = check_model_file(parts[0])
    assert [tensor.name for tensor in model.tensors] == [f"m.{i}" for i in range(N_TENSORS)]
    assert model.file_size == sum(part.stat().st_size for part in parts)
    assert model.header.architecture == "llama"


def test_a_missing_part_is_named(parts: list[Path]) -> None:
    parts[1].unlink()
    assert _refusal(parts[0]) == "1 of its 3 parts are not beside it: m-00002-of-00003.gguf"


def test_a_later_part_names_the_first(parts: list[Path]) -> None:
    assert _refusal(parts[2]) == "it is part 3 of 3: name the first part, m-00001-of-00003.gguf"


def test_a_renamed_first_part(parts: list[Path]) -> None:
    assert "its name must end with -00001-of-00003.gguf" in _refusal(parts[0].rename(parts[0].with_name("m.gguf")))


def test_a_part_at_anothers_place(parts: list[Path]) -> None:
    shutil.copy(parts[2], parts[1])
    assert _refusal(parts[0]) == "m-00002-of-00003.gguf is not part 2 of 3, as its name says"


def test_a_part_of_another_model(parts: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    writer = gguf.GGUFWriter(other / "m.gguf", "llama", split_max_tensors=1)
    for name in ("m.0", "m.1", "m.2"):
        writer.add_tensor(name, np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.copy(other / "m-00002-of-00003.gguf", parts[1])
    assert "not those of one model" in _refusal(parts[0])


def test_a_truncated_part_is_named(parts: list[Path]) -> None:
    data = parts[1].read_bytes()
    parts[1].write_bytes(data[:-100])
    assert _refusal(parts[0]).startswith("m-00002-of-00003.gguf: the file is truncated:")
    assert read_model_file(parts[0]).missing_bytes == 100


def test_a_broken_part_is_named(parts: list[Path]) -> None:
    write_broken(parts[2], "text")
    assert _refusal(parts[0]).startswith("m-00003-of-00003.gguf: not a GGUF file")


@pytest.mark.parametrize(
    ("general_type", "architecture", "kind"),
    [
        ("adapter", "llama", "adapter"),
        ("mmproj", "clip", "projector"),
        (None, "clip", "projector"),
        ("imatrix", "", "imatrix"),
        (None, "controlvector", "control vector"),
        ("model", "llama", "vocabulary"),
    ],
)
def test_kinds(tmp_path: Path, general_type: str | None, architecture: str, kind: str) -> None:
    writer = gguf.GGUFWriter(tmp_path / "k.gguf", architecture)
    if general_type is not None:
        writer.add_type(general_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert kind_of(read_model_file(tmp_path / "k.gguf").header) == kind
