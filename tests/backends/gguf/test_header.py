"""Headers are read right, and nothing that a file says is believed before it is checked."""

from __future__ import annotations

import ctypes
import os
import random
import re
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf as gguf_library
import llama_cpp.llama_cpp as C
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.gguf.byte_reader import MAX_SKIPPED, GGUFError
from backends.gguf.header import Array, read_header, read_strings
from backends.gguf.kind import kind_of
from backends.gguf.model_file import check_model_file
from backends.gguf.tensor_types import TENSOR_TYPES
from tests.models.broken import BROKEN, write_broken
from tests.models.families import FAMILIES, Shape, write_model

LEFT_TO_LLAMA_CPP = {
    "only_architecture",
    "no_keys",
    "architecture_number",
    "unknown_architecture",
    "missing_tensor",
}
"""What is wrong with these is not the file's form."""

U32, STRING, ARRAY = 4, 8, 9
SMALL = Shape(n_layer=2, n_embd=32, n_head=2, n_head_kv=1, n_ff=32, n_ctx=256)


def _string(text: str, order: str = "<") -> bytes:
    return struct.pack(f"{order}Q", len(text.encode())) + text.encode()


def _file(path: Path, *keys: bytes, tensors: tuple[bytes, ...] = (), order: str = "<", tail: bytes = b"") -> Path:
    head = b"GGUF" + struct.pack(f"{order}IQQ", 3, len(tensors), len(keys))
    path.write_bytes(head + b"".join(keys) + b"".join(tensors) + tail)
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(GGUFError) as refused:
        check_model_file(path)
    return str(refused.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("whole") / "m.gguf", "llama", shape=SMALL).read_bytes()


# --- what is there ---


@pytest.mark.parametrize("family", FAMILIES)
def test_reads_what_the_gguf_library_reads(gguf: Callable[[str], Path], family: str) -> None:
    header, reader = read_header(gguf(family)), gguf_library.GGUFReader(gguf(family))
    assert [tensor.name for tensor in header.tensors] == [tensor.name for tensor in reader.tensors]
    for ours, theirs in zip(header.tensors, reader.tensors, strict=True):
        assert list(ours.shape) == theirs.shape.tolist()
        assert (ours.type.name, ours.n_bytes, ours.n_values) == (
            theirs.tensor_type.name,
            theirs.n_bytes,
            theirs.n_elements,
        )
        assert header.data_position + ours.offset == theirs.data_offset
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        ours_value, theirs_value = header.values[key], field.contents()
        if isinstance(ours_value, Array):
            assert ours_value.count == len(theirs_value)
            assert ours_value.items is None or list(ours_value.items) == theirs_value
        else:
            assert ours_value == theirs_value
    assert header.missing_bytes == 0


def test_strings_that_were_passed_over_can_be_read_one_by_one(gguf: Callable[[str], Path]) -> None:
    header = read_header(gguf("llama"))
    tokens = gguf_library.GGUFReader(gguf("llama")).fields["tokenizer.ggml.tokens"].contents()
    wanted = {0, 1, 100, len(tokens) - 1, len(tokens), -1}
    assert read_strings(header, "tokenizer.ggml.tokens", wanted) == {i: tokens[i] for i in (0, 1, 100, len(tokens) - 1)}


def test_both_byte_orders(tmp_path: Path) -> None:
    for order in "<>":
        key = _string("a.b", order) + struct.pack(f"{order}IH", 2, 513)
        header = read_header(_file(tmp_path / "m.gguf", key, order=order))
        assert header.values == {"a.b": 513} and header.version == 3


def test_the_types_are_ggmls() -> None:
    ggml = C._lib
    ggml.ggml_type_size.restype, ggml.ggml_blck_size.restype = ctypes.c_size_t, ctypes.c_int64
    ggml.ggml_type_name.restype = ctypes.c_char_p
    for number, kind in TENSOR_TYPES.items():
        assert (kind.block, kind.block_bytes) == (ggml.ggml_blck_size(number), ggml.ggml_type_size(number))
        assert kind.name.lower() == ggml.ggml_type_name(number).decode().lower()
    assert not any(ggml.ggml_blck_size(number) for number in range(max(TENSOR_TYPES)) if number not in TENSOR_TYPES)


# --- what is wrong ---


@pytest.mark.parametrize("fault", sorted(BROKEN.keys() - LEFT_TO_LLAMA_CPP))
def test_a_broken_file_is_one_clear_line(tmp_path: Path, fault: str) -> None:
    message = _refusal(write_broken(tmp_path / "broken.gguf", fault))
    assert "\n" not in message and 10 < len(message) < 300


@pytest.mark.parametrize("fault", sorted(LEFT_TO_LLAMA_CPP))
def test_what_is_of_the_right_form_passes(tmp_path: Path, fault: str) -> None:
    check_model_file(write_broken(tmp_path / "broken.gguf", fault))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    assert _refusal(tmp_path / "m.gguf").startswith("it is a pipe")


def test_truncated_data_is_told_with_the_numbers(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(whole[:-1000])
    assert read_header(path).missing_bytes == 1000
    assert _refusal(path) == f"the file is truncated: {len(whole) - 1000} of {len(whole)} bytes are there"


def test_every_cut_through_the_header_is_told(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(whole)
    end = read_header(path).data_position
    for size in range(24, end, 211):
        path.write_bytes(whole[:size])
        assert re.search("truncated", _refusal(path)), size


def test_names_in_messages_are_harmless(tmp_path: Path) -> None:
    name = "a\x1b[2J\nb" * 100
    path = _file(tmp_path / "m.gguf", _string(name) + struct.pack("<I", 99))
    message = _refusal(path)
    assert message.isprintable() and len(message) < 200


def test_alignment_must_be_of_its_type(tmp_path: Path) -> None:
    key = _string("general.alignment") + struct.pack("<IQ", 10, 64)
    assert "general.alignment" in _refusal(_file(tmp_path / "m.gguf", key))


@pytest.mark.parametrize(
    ("bytes_after", "said"),
    [
        (struct.pack("<QQ", 2**63, 1), "tensors"),
        (struct.pack("<QQ", 1, 2**40), "key-values"),
        (struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**20), "a key"),
        (struct.pack("<QQ", 1, 0) + struct.pack("<Q", 64) + bytes(1 << 20), "a tensor's name is too long"),
    ],
)
def test_hostile_counts(tmp_path: Path, bytes_after: bytes, said: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + bytes_after + bytes(1 << 21))
    assert said in _refusal(path)


@pytest.mark.parametrize("kind", [0, STRING])
def test_an_array_that_fills_a_huge_file_takes_no_memory(tmp_path: Path, kind: int) -> None:
    count = 1 << 18
    path = _file(tmp_path / "m.gguf", _string("x") + struct.pack("<IIQ", ARRAY, kind, count), tail=bytes(24))
    with path.open("r+b") as stream:
        stream.truncate(1 << 30)  # a hole: nothing is written
    tracemalloc.start()
    try:
        header = read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert header.values["x"] == Array(count, None, 24 + 9 + 16)


def test_there_is_an_end_to_strings(tmp_path: Path) -> None:
    key = _string("x") + struct.pack("<IIQ", ARRAY, STRING, MAX_SKIPPED + 1)
    path = _file(tmp_path / "m.gguf", key)
    with path.open("r+b") as stream:
        stream.truncate(1 << 30)
    assert "no vocabulary is that large" in _refusal(path)


def test_text_is_kept_within_bounds(tmp_path: Path) -> None:
    key = _string("x") + struct.pack("<IQ", STRING, 100 << 20)
    path = _file(tmp_path / "m.gguf", key)
    with path.open("r+b") as stream:
        stream.truncate(1 << 30)
    assert "too long" in _refusal(path)


@given(data=st.data())
def test_garbage_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    """Bytes of a real header changed, removed and repeated: a header comes of it, or a GGUFError."""
    head = bytearray(whole[:9000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(4, len(head) - 1))
        match data.draw(st.sampled_from(("set", "cut", "double"))):
            case "set":
                new = data.draw(st.binary(min_size=1, max_size=8))
                head[at : at + len(new)] = new
            case "cut":
                del head[at : at + data.draw(st.integers(1, 64))]
            case "double":
                head[at:at] = head[at : at + data.draw(st.integers(1, 64))]
    path = tmp_path_factory.getbasetemp() / "garbage.gguf"
    path.write_bytes(head)
    message = ""
    try:
        check_model_file(path)
    except GGUFError as error:
        message = str(error)
    assert message.isprintable() and len(message) < 400


LOAD = """
import sys
from backends.base import ModelLoadError
from backends.engine_options import EngineOptions
from backends.llama_cpp.model import Model
for path in sys.argv[1:]:
    print(path, flush=True)
    try:
        Model(EngineOptions(model_path=path), lambda fraction: None).close()
    except ModelLoadError as error:
        assert str(error).isprintable(), str(error)
"""


def test_llama_cpp_survives_what_is_let_through(tmp_path: Path, whole: bytes) -> None:
    """Numbers of the header changed at random; vocabularies aside, whose tokens nobody looks at before llama.cpp."""
    source = tmp_path / "whole.gguf"
    source.write_bytes(whole)
    header, chance = read_header(source), random.Random(1)
    vocabulary = whole.index(b"tokenizer.ggml.model")
    tensors = whole.index(b"token_embd.weight")
    places = [*range(8, vocabulary), *range(tensors, header.data_position)]
    let_through = []
    for number in range(600):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 4))):
            at = chance.choice(places)
            new = chance.choice((b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"\1\0\0\0", bytes([chance.randrange(256)])))
            changed[at : at + len(new)] = new
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(changed)
        try:
            if kind_of(check_model_file(path).header) == "model":
                let_through.append(str(path))
                continue
        except GGUFError:
            pass
        path.unlink()
    assert len(let_through) > 50
    done = subprocess.run([sys.executable, "-c", LOAD, *let_through], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1]}: {done.stderr[-500:]}"
