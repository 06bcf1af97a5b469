"""Estimates from the header, beside what llama.cpp then takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from backends.base import DRAFTERS, Drafter
from backends.context_size import MAX_IDS
from backends.engine_options import EngineOptions
from backends.gguf.memory_need import ContextPlan, compute_bytes, need_of
from backends.gguf.model_file import read_model_file
from backends.gguf.model_shape import model_shape
from backends.llama_cpp import library
from backends.llama_cpp.context import Context
from backends.llama_cpp.model import Model
from tests.models.families import FAMILIES, Shape, write_model
from tests.models.memory import memory_needed

N_CTX, N_PARALLEL = 1000, 4
BUFFER = re.compile(r"(KV|RS|compute|output) +buffer size = +([\d.]+) MiB")
ROWS = re.compile(r"n_outputs_max += (\d+)")


def _told(options: EngineOptions) -> tuple[int, str]:
    """Bytes of tensors, and what llama.cpp says of a context for them."""
    lines: list[str] = []
    model = Model(options, lambda _fraction: None)
    with library.listening(lines.append):
        Context(model, options, N_CTX, 1).close()
    weights = model.size_bytes
    model.close()
    return weights, "".join(lines)


def _taken(options: EngineOptions) -> tuple[int, dict[str, float]]:
    """Bytes of tensors, and llama.cpp's buffers in bytes, by kind."""
    weights, told = _told(options)
    sizes = dict.fromkeys(("KV", "RS", "compute", "output"), 0.0)
    for kind, mib in BUFFER.findall(told):
        sizes[kind] += float(mib) * 2**20
    return weights, sizes


def test_quantized_cells(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "llama", shape=Shape(n_head=2, n_embd=128))  # heads of 64 values
    options = EngineOptions(model_path=str(path), n_parallel=N_PARALLEL, cache_type_k="q8_0", cache_type_v="q4_0")
    _, taken = _taken(options)
    need = memory_needed(path, N_CTX, n_parallel=N_PARALLEL, type_k="q8_0", type_v="q4_0")
    assert need.kv == pytest.approx(taken["KV"], abs=0.02 * 2**20)


@pytest.mark.parametrize("types", [("f16", "f16"), ("f32", "bf16")], ids="/".join)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_llama_cpp_takes(gguf: Callable[[str], Path], family: str, types: tuple[str, str]) -> None:
    if family == "mamba" and types != ("f16", "f16"):
        pytest.skip("nothing to quantize")
    path = gguf(family)
    options = EngineOptions(
        model_path=str(path), n_parallel=N_PARALLEL, cache_type_k=types[0], cache_type_v=types[1], n_ubatch=256
    )
    need = memory_needed(
        path, N_CTX, n_parallel=N_PARALLEL, n_ubatch=256, type_k=types[0], type_v=types[1], flash_attn=True
    )
    weights, taken = _taken(options)
    assert need.weights == weights
    # llama.cpp says MiB with two digits.
    assert need.kv == pytest.approx(taken["KV"] + taken["RS"], abs=0.02 * 2**20)
    computing = taken["compute"] + taken["output"]
    assert 0.8 * computing - 2**20 < need.compute < 3 * computing + 2**20


def test_without_flash_attention_scores_are_kept(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "llama", shape=Shape(n_head=16, n_head_kv=8, n_embd=128, n_ctx=8192))
    plain, flash = (memory_needed(path, 8192, flash_attn=on).compute for on in (False, True))
    assert plain - flash > 8192 * 512 * 16 * 4 * 0.9


@pytest.mark.parametrize(
    ("family", "n_parallel", "drafters", "rows"),
    [
        ("llama", 4, DRAFTERS, 64),
        ("llama", 100, DRAFTERS, 201),
        ("llama", 100, (), 101),
        ("jamba", 100, DRAFTERS, 200),
        ("mamba", 200, DRAFTERS, MAX_IDS),
    ],
)
def test_rows_of_logits(
    gguf: Callable[[str], Path], family: str, n_parallel: int, drafters: tuple[Drafter, ...], rows: int
) -> None:
    """As many as llama.cpp may be asked for count: none for drafts, where there can't be any."""
    path = gguf(family)
    options = EngineOptions(model_path=str(path), n_parallel=n_parallel, speculation=drafters)
    assert ROWS.findall(_told(options)[1]) == [str(rows)]
    shape = model_shape(read_model_file(path))
    shape.n_vocab = 1_000_000  # beside them, all the rest is next to nothing
    plan = ContextPlan(n_ctx=N_CTX, n_parallel=n_parallel, drafts=bool(drafters))
    assert compute_bytes(shape, plan) // (4 * shape.n_vocab) == 2 * rows, "where they are computed, and their copy"


def test_more_of_anything_never_takes_less(gguf: Callable[[str], Path]) -> None:
    for family in FAMILIES:
        shape = model_shape(read_model_file(gguf(family)))
        plan = ContextPlan(n_ctx=512)
        least = need_of(shape, plan)
        for change in ({"n_ctx": 1024}, {"n_parallel": 64}, {"n_ubatch": 1024}, {"type_k": "f32"}, {"type_v": "f32"}):
            more = need_of(shape, msgspec.structs.replace(plan, **change))
            assert more.total >= least.total and more.weights == least.weights


def test_tied_embeddings_are_in_the_file_once(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "llama")
    shape = model_shape(read_model_file(path))
    assert not shape.tied and shape.weights == memory_needed(path, N_CTX).weights
    shape.tied, shape.output_weights = True, shape.output_weights + shape.input_weights
    assert shape.weights == memory_needed(path, N_CTX).weights


def test_hybrid_layers_keep_cells_or_states(gguf: Callable[[str], Path]) -> None:
    layers = model_shape(read_model_file(gguf("jamba"))).layers
    assert [bool(layer.state) for layer in layers] == [Shape().is_recurrent(i) for i in range(len(layers))]
    assert [bool(layer.k_width) for layer in layers] == [not Shape().is_recurrent(i) for i in range(len(layers))]
