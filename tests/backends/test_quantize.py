"""Quantizing: every type, importance matrices, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as C
import numpy as np
import pytest

from backends.base import BackendError
from backends.gguf.header import read_header
from backends.gguf.tensor_types import FILE_TYPES
from backends.llama_cpp.job import JobFailed
from backends.llama_cpp.quantization.file_types import (
    ALIASES,
    NOT_MADE,
    QUANTIZED_TYPES,
    UnknownType,
    file_type,
    tensor_type_number,
)
from backends.llama_cpp.quantization.imatrix import read_imatrix
from backends.llama_cpp.quantization.order import Quantized, QuantizeOrder
from backends.llama_cpp.quantization.quantize import quantize, quantize_here
from tests.models.broken import write_broken
from tests.models.families import write_model
from tests.models.lowlevel import Entry, opened
from tests.models.quantizable import (
    N_CHUNKS,
    importance,
    write_imatrix,
    write_old_imatrix,
    write_quantizable,
    write_split,
)

MOST = {
    "MXFP4_MOE": "Q8_0",  # only experts become MXFP4
    "IQ2_S": "IQ2_XS",
    "IQ2_M": "IQ2_S",
    "IQ3_XS": "IQ3_S",
    "IQ3_M": "IQ3_S",
    **{name: name[:4] for name in QUANTIZED_TYPES if name[0] == "Q" and name[2:4] == "_K"},
}
"""What most tensors of a type are, where it isn't called so."""
LONG = "IQ1_S"
"""ggml computes tables for it first."""
SAMPLE = "blk.0.ffn_up.weight"
"""It is always what most are."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantize")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return write_quantizable(folder / "model-F32.gguf")


@pytest.fixture(scope="module")
def imatrix(folder: Path, model: Path) -> Path:
    return write_imatrix(folder / "imatrix.gguf", importance(model))


def made(source: Path, target: Path, kind: str, **options: object) -> Quantized:
    """Quantize in this process, which saves its start."""
    order = QuantizeOrder(source=str(source), target=str(target), file_type=kind, threads=1, **options)  # type: ignore[arg-type]
    return quantize_here(order, lambda _done, _total: None)


def types(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.type.name for tensor in read_header(path).tensors}


def values(path: Path, name: str) -> np.ndarray:
    return np.array(stored(path)[name], np.float32)


def stored(path: Path) -> dict[str, np.ndarray]:
    """Each tensor's data as the file has it."""
    return {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}


def test_there_is_every_type_of_llama_h() -> None:
    prefix = ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
    of_binding = {vars(C)[name]: name for name in vars(C) if name.startswith(prefix)}
    known = {kind.number for kind in QUANTIZED_TYPES.values()} | {
        n for n, name in FILE_TYPES.items() if name == NOT_MADE
    }
    assert {n: name for n, name in of_binding.items() if n not in known} == {}
    assert known == set(FILE_TYPES)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind == LONG else kind for kind in QUANTIZED_TYPES]
)
def test_every_type(kind: str, model: Path, imatrix: Path, tmp_path: Path) -> None:
    needs = QUANTIZED_TYPES[kind].needs_imatrix
    target, back = tmp_path / "made.gguf", tmp_path / "back.gguf"
    done = made(model, target, kind.lower(), imatrix=str(imatrix) if needs else None)
    header = read_header(target)
    assert FILE_TYPES[header.integer("general.file_type") or 0] == kind
    assert {tensor.name: tensor.target_type for tensor in done.tensors} == types(target)
    assert done.target_bytes == sum(tensor.n_bytes for tensor in header.tensors)
    assert types(target)[SAMPLE] == MOST.get(kind, kind)
    assert types(target)["blk.0.attn_norm.weight"] == "F32"
    with opened(target, n_ctx=64) as low:
        assert np.isfinite(low.decode([Entry(token, token, 0) for token in range(8)])).all()
    # Close to the original, as the bits allow: half the error for each. Measured: 1.3 to 3.4 times 2^-bits.
    made(target, back, "F32", allow_requantize=True)
    original = values(model, SAMPLE)
    error = np.std(values(back, SAMPLE) - original) / np.std(original)
    bits = 8 * next(t.n_bytes / t.n_values for t in header.tensors if t.name == SAMPLE)
    assert error < (3.6 * 2**-bits if bits < 16 else 0.002)


@pytest.mark.parametrize("kind", ["Q4_K_M", "IQ2_XXS"])
def test_both_formats_of_importance_matrices(kind: str, model: Path, imatrix: Path, tmp_path: Path) -> None:
    old = write_old_imatrix(tmp_path / "old.dat", importance(model))
    made(model, tmp_path / "new.gguf", kind, imatrix=str(imatrix))
    made(model, tmp_path / "old.gguf", kind, imatrix=str(old))
    new, old_format = stored(tmp_path / "new.gguf"), stored(tmp_path / "old.gguf")
    assert new.keys() == types(model).keys()
    assert all(np.array_equal(new[name], old_format[name]) for name in new)
    header = read_header(tmp_path / "new.gguf")
    assert header.text("quantize.imatrix.file") == "imatrix.gguf"
    assert header.text("quantize.imatrix.dataset") == "a text.txt"
    assert header.integer("quantize.imatrix.chunks_count") == N_CHUNKS
    if kind == "Q4_K_M":
        made(model, tmp_path / "without.gguf", kind)
        assert not np.array_equal(values(tmp_path / "without.gguf", SAMPLE), values(tmp_path / "new.gguf", SAMPLE))


def test_experts_have_importance_of_their_own(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "experts.gguf", "")
    writer.add_tensor("w.in_sum2", np.array([[2, 4], [9, 9], [5, 7]], np.float32))
    writer.add_tensor("w.counts", np.array([[2], [3], [0]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_imatrix(tmp_path / "experts.gguf").entries["w"].tolist() == [1, 2, 3, 3, 1, 1]


BAD_IMATRICES = {
    "text": (b"This is no matrix.\n" * 9, "no importance matrix"),
    "empty": (b"", "ends too early"),
    "none": (b"\0\0\0\0", "no entries"),
    "long name": (b"\1\0\0\0\xff\xff\xff\x7f", "name of 2147483647 bytes"),
    "many values": (b"\1\0\0\0\1\0\0\0w\1\0\0\0\xff\xff\xff\x7f", "ends too early"),
    "not a number": (b"\1\0\0\0\1\0\0\0w\1\0\0\0\1\0\0\0\0\0\xc0\x7f", "aren't numbers"),
    "gguf header": (b"GGUF\3\0\0\0", "no importance matrix"),
}


@pytest.mark.parametrize("fault", BAD_IMATRICES)
def test_what_is_no_importance_matrix(fault: str, tmp_path: Path) -> None:
    data, said = BAD_IMATRICES[fault]
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(JobFailed, match=said):
        read_imatrix(tmp_path / "bad")


def test_a_model_is_no_importance_matrix(model: Path) -> None:
    with pytest.raises(JobFailed, match=r"no tensors called …\.in_sum2"):
        read_imatrix(model)


def refusal(source: Path, target: Path, kind: str, **options: object) -> str:
    with pytest.raises(BackendError) as raised:
        made(source, target, kind, **options)
    assert not target.exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_refused_before_any_work(model: Path, imatrix: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    assert "IQ2_XXS needs an importance matrix" in refusal(model, out, "IQ2_XXS")
    assert "Q2_K_S needs an importance matrix" in refusal(model, out, "Q2_K_S")
    # ggml would abort: embeddings are no exception there
    assert "token_embd.weight" in refusal(
        model, out, "IQ2_XXS", token_embedding_type="iq2_xxs", imatrix=str(without(imatrix, tmp_path, "token_embd"))
    )
    assert "no data for blk.0.ffn_down.weight, which" in refusal(
        model, out, "IQ2_XXS", imatrix=str(without(imatrix, tmp_path, "ffn_down"))
    )
    quantized = tmp_path / "q.gguf"
    made(model, quantized, "Q8_0")
    assert "quantized already" in refusal(quantized, out, "Q4_K_M")
    assert "--allow-requantize" in refusal(quantized, out, "F16")
    other = write_model(tmp_path / "other.gguf", "mamba")
    foreign = write_imatrix(tmp_path / "foreign.gguf", {"x.weight": np.ones(4, np.float32)})
    assert "another model's" in refusal(other, out, "Q4_0", imatrix=str(foreign))
    wide = write_imatrix(tmp_path / "wide.gguf", {name: np.ones(512, np.float32) for name in importance(model)})
    assert "512 values for" in refusal(model, out, "Q4_0", imatrix=str(wide))
    assert "unknown type Q9" in refusal(model, out, "Q9")
    assert "makes none" in refusal(model, out, "nvfp4")
    assert "not a GGUF" in refusal(write_broken(tmp_path / "b.gguf", "html"), out, "Q4_0")
    with pytest.raises(UnknownType, match="there are F32, F16"):
        tensor_type_number("Q8_K")


def without(imatrix: Path, folder: Path, part: str) -> Path:
    means = {name: means for name, means in read_imatrix(imatrix).entries.items() if part not in name}
    return write_imatrix(folder / f"without-{part}.gguf", means)


def test_types_of_single_tensors(model: Path, tmp_path: Path) -> None:
    made(model, tmp_path / "a.gguf", "Q4_K_M", output_tensor_type="q8_0", token_embedding_type="F16")
    assert types(tmp_path / "a.gguf")["output.weight"] == "Q8_0"
    assert types(tmp_path / "a.gguf")["token_embd.weight"] == "F16"
    made(model, tmp_path / "b.gguf", "Q4_0", leave_output_tensor=True, tensor_types=(("ATTN_[qk]", "q8_0"),))
    found = types(tmp_path / "b.gguf")
    assert found["output.weight"] == "F32"
    assert found["blk.0.attn_q.weight"] == found["blk.0.attn_k.weight"] == "Q8_0"
    assert found["blk.0.attn_v.weight"] == "Q4_0"
    made(model, tmp_path / "c.gguf", "Q4_K_M", pure=True)
    assert set(types(tmp_path / "c.gguf").values()) == {"F32", "Q4_K"}
    reason = refusal(model, tmp_path / "d.gguf", "Q4_0", tensor_types=(("(", "q8_0"),))
    assert reason.startswith(f"cannot quantize {model}: ")
    assert "mismatched" in reason.lower()  # whichever C++ library says so


def test_copying_keeps_every_tensor(model: Path, tmp_path: Path) -> None:
    done = made(model, tmp_path / "copy.gguf", "copy")
    assert done.target_bytes == done.source_bytes
    assert np.array_equal(values(tmp_path / "copy.gguf", SAMPLE), values(model, SAMPLE))


def test_rows_that_do_not_fit_get_another_type(tmp_path: Path) -> None:
    narrow = write_model(tmp_path / "narrow.gguf", "llama")  # rows of 64 and 128
    done = made(narrow, tmp_path / "out.gguf", "Q4_K_M")
    assert all(t.fallback == (len(t.shape) > 1 and t.shape[1] > 1) for t in done.tensors if "blk" in t.name)
    assert types(tmp_path / "out.gguf")["blk.1.ffn_up.weight"] == "Q5_0"


def test_a_dry_run_writes_nothing(model: Path, tmp_path: Path) -> None:
    planned = made(model, tmp_path / "out.gguf", "IQ1_S", dry_run=True)
    assert planned.needs_imatrix
    assert list(tmp_path.iterdir()) == []
    assert planned.target_bytes < planned.source_bytes / 10
    assert not made(model, tmp_path / "out.gguf", "Q5_K_M", dry_run=True).needs_imatrix


def test_split_models(model: Path, tmp_path: Path) -> None:
    parts = write_split(tmp_path / "split.gguf", model, 5)
    assert len(parts) == 3
    whole = made(parts[0], tmp_path / "whole.gguf", "Q4_K_M")
    assert whole.target_bytes == made(model, tmp_path / "direct.gguf", "Q4_K_M").target_bytes
    assert types(tmp_path / "whole.gguf") == types(tmp_path / "direct.gguf")
    made(parts[0], tmp_path / "kept", "Q4_K_M", keep_split=True)
    kept = sorted(tmp_path.glob("kept-*"))
    assert [path.name[-20:] for path in kept] == [path.name[-20:] for path in parts]
    assert {name: kind for path in kept for name, kind in types(path).items()} == types(tmp_path / "whole.gguf")
    with opened(kept[0], n_ctx=64) as low:
        assert np.isfinite(low.decode([Entry(1, 0, 0)])).all()


def test_a_process_of_its_own_reports_and_answers(model: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    order = QuantizeOrder(source=str(model), target=str(tmp_path / "out.gguf"), file_type="Q4_0", threads=1)
    done = quantize(order, lambda n, total: reports.append((n, total)))
    assert [n for n, _ in reports] == sorted(n for n, _ in reports)
    assert reports[-1] == (done.source_bytes, done.source_bytes)
    assert len(reports) >= len(done.tensors)
    assert types(tmp_path / "out.gguf")[SAMPLE] == "Q4_0"


@pytest.mark.parametrize("fault", ["no_layers", "huge_layers", "truncated_data"])
def test_a_file_that_makes_llama_cpp_fail_or_abort_is_a_line(fault: str, tmp_path: Path) -> None:
    broken = write_broken(tmp_path / "broken.gguf", fault)
    order = QuantizeOrder(source=str(broken), target=str(tmp_path / "out.gguf"), file_type="Q4_0", threads=1)
    with pytest.raises(JobFailed) as raised:
        quantize(order)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
def test_what_llama_cpp_would_store_wrongly_is_refused(stored: str, split: bool, tmp_path: Path) -> None:
    model = write_quantizable(tmp_path / "zeros.gguf")
    reader = gguf.GGUFReader(model, "r+")
    tensor = next(t for t in reader.tensors if t.name == SAMPLE)
    tensor.data[5, 96:128] = -0.0
    reader.data.flush()
    source = tmp_path / "source.gguf"
    made(model, source, stored)
    if split:
        source = write_split(tmp_path / "split.gguf", source, 4)[0]
    message = refusal(source, tmp_path / "out.gguf", "IQ3_S")
    assert message.startswith(f"{SAMPLE} would be garbage")
    advice = re.search(r"--tensor-type '(.*)=(.*)'", message)
    assert advice is not None
    made(source, tmp_path / "out.gguf", "IQ3_S", tensor_types=(advice.groups(),))
    assert types(tmp_path / "out.gguf")[SAMPLE] == "Q4_K"
    assert types(tmp_path / "out.gguf")["blk.0.ffn_gate.weight"] == "IQ3_S"


def test_names() -> None:
    assert file_type("q4_k").name == ALIASES["Q4_K"] == "Q4_K_M"
    assert file_type("15").name == "Q4_K_M"
    assert file_type("Iq4_xS").name == "IQ4_XS"
    assert file_type("copy").copies and not file_type("f32").copies


def test_bits_per_weight_are_those_of_llama_3_8b(tmp_path: Path) -> None:
    path = tmp_path / "llama-3-8b.gguf"
    _write_empty_llama_3(path)
    for kind in QUANTIZED_TYPES.values():
        planned = made(path, tmp_path / "out.gguf", kind.name, dry_run=True)
        assert round(planned.bits_per_weight, 2) == kind.bits, kind.name
        assert planned.needs_imatrix == kind.needs_imatrix, kind.name


def _write_empty_llama_3(path: Path) -> None:
    """The header of Llama 3 8B in F16, and a hole in place of the data."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(4096)
    writer.add_block_count(32)
    writer.add_feed_forward_length(14336)
    writer.add_head_count(32)
    writer.add_head_count_kv(8)
    writer.add_layer_norm_rms_eps(1e-5)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (128256, 4096),
        "output": (128256, 4096),
        "output_norm": (4096,),
    }
    for layer in range(32):
        shapes |= {f"blk.{layer}.attn_{name}": (4096, 4096) for name in ("q", "output")}
        shapes |= {f"blk.{layer}.attn_{name}": (1024, 4096) for name in ("k", "v")}
        shapes |= {f"blk.{layer}.ffn_{name}": (14336, 4096) for name in ("gate", "up")}
        shapes |= {f"blk.{layer}.ffn_down": (4096, 14336)}
        shapes |= {f"blk.{layer}.{name}_norm": (4096,) for name in ("attn", "ffn")}
    for name, shape in shapes.items():
        kind = np.dtype(np.float16 if len(shape) > 1 else np.float32)
        writer.add_tensor_info(f"{name}.weight", shape, kind, int(np.prod(shape)) * kind.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + (17 << 30))
