"""What a header tells of a model, of its vocabulary and of what isn't a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf as gguf_library
import msgspec
import numpy as np
import pytest

from backends.engine_options import EngineOptions
from backends.gguf.model_file import read_model_file
from backends.gguf.summary import Rope, SpecialToken, Summary, summarize
from backends.llama_cpp.model import Model
from server.model_source import find_model
from tests.models.families import FAMILIES, Shape
from tests.models.vocab import BOS, CHATML, bpe_vocab


def _summary(path: Path) -> Summary:
    return summarize(read_model_file(path))


@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_llama_cpp(gguf: Callable[[str], Path], family: str) -> None:
    summary = _summary(gguf(family))
    model = Model(EngineOptions(model_path=str(gguf(family))), lambda _fraction: None)
    shape = summary.shape
    assert (summary.parameters, summary.kind) == (model.n_params, "model")
    assert sum(kind.bytes for kind in summary.types) == model.size_bytes
    assert (shape.context_length, shape.embedding_length, shape.layers) == (
        model.n_ctx_train,
        model.n_embd,
        model.n_layer,
    )
    assert shape.vocabulary == model.n_vocab
    assert (shape.sliding_window or 0) == model.n_swa
    assert bool(shape.recurrent_layers) == (model.recurrent or model.hybrid)
    assert summary.chat_template == model.chat_template == CHATML
    model.close()


def test_the_vocabulary(gguf: Callable[[str], Path]) -> None:
    tokenizer, vocab = _summary(gguf("llama")).tokenizer, bpe_vocab()
    assert tokenizer is not None
    assert (tokenizer.model, tokenizer.pre, tokenizer.tokens) == ("gpt2", "llama-bpe", len(vocab))
    assert tokenizer.merges == len(vocab.merges)
    assert tokenizer.special["bos"] == SpecialToken(vocab.bos, BOS)
    assert (tokenizer.add_bos, tokenizer.add_eos) == (True, False)


def test_the_demo_model() -> None:
    summary = _summary(find_model(None))
    assert (summary.file_type, summary.types[0].type, summary.bits_per_weight) == ("Q8_0", "Q8_0", 8.52)
    assert (summary.name, summary.license) == ("Paddock demo", "MIT")


def test_scaled_positions(tmp_path: Path) -> None:
    writer = gguf_library.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_rope_freq_base(5e5)
    writer.add_rope_scaling_type(gguf_library.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)
    writer.add_rope_scaling_orig_ctx_len(8192)
    writer.add_rope_dimension_count(64)
    _finish(writer)
    assert _summary(tmp_path / "m.gguf").rope == Rope(
        dimensions=64, freq_base=5e5, scaling="yarn", scaling_factor=4.0, original_context_length=8192
    )


def test_a_lora_adapter(tmp_path: Path) -> None:
    writer = gguf_library.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    for name in ("blk.0.attn_q.weight", "blk.1.attn_q.weight"):
        writer.add_tensor(f"{name}.lora_a", np.ones((8, 64), np.float32))
        writer.add_tensor(f"{name}.lora_b", np.ones((64, 8), np.float32))
    _finish(writer)
    summary = _summary(tmp_path / "a.gguf")
    assert summary.kind == "adapter" and summary.adapter is not None
    assert msgspec.to_builtins(summary.adapter) == {"rank": 8, "alpha": 16.0, "pairs": 2, "invocation_tokens": 0}


def test_an_empty_header_is_no_reason_to_fail(tmp_path: Path) -> None:
    _finish(gguf_library.GGUFWriter(tmp_path / "m.gguf", ""))
    summary = _summary(tmp_path / "m.gguf")
    assert (summary.kind, summary.parameters, summary.file_type) == ("vocabulary", 0, "no tensors")
    assert summary.tokenizer is None and summary.rope is None


def test_per_layer_sizes_are_the_largest(gguf: Callable[[str], Path]) -> None:
    assert _summary(gguf("jamba")).shape.kv_heads == Shape().n_head_kv


def _finish(writer: gguf_library.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
