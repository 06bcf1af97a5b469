"""Files that are no LoRA adapters for a model: each is refused in a line, before llama.cpp could die of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import gguf as gguf_library
import numpy as np
import pytest

from backends.base import AdapterLoadError
from backends.llama_cpp.adapter_file import check_adapter
from tests.models.adapters import begin_adapter, finish, write_adapter

from .engine_runs import engine, request, run

Writer = gguf_library.GGUFWriter
Q = "blk.0.attn_q.weight"


def pair(writer: Writer, weight: str, a: tuple[int, ...], b: tuple[int, ...], dtype: type = np.float32) -> None:
    """Shapes as numpy has them: rows first."""
    writer.add_tensor(f"{weight}.lora_a", np.ones(a, dtype))
    writer.add_tensor(f"{weight}.lora_b", np.ones(b, dtype))


def one(writer: Writer, name: str) -> None:
    writer.add_tensor(name, np.ones((4, 64), np.float32))


def alora(writer: Writer) -> None:
    pair(writer, Q, (4, 64), (64, 4))
    writer.add_array("adapter.alora.invocation_tokens", [1, 2, 3])


CASES: dict[str, tuple[Callable[[Writer], None], str]] = {
    "an activated LoRA": (alora, "activated LoRA .* not supported"),
    "nothing": (lambda w: w.add_tensor("blk.0.attn_norm.weight", np.ones(64, np.float32)), "has no tensors"),
    "no A": (lambda w: one(w, f"{Q}.lora_b"), "without .lora_a"),
    "no B": (lambda w: one(w, f"{Q}.lora_a"), "without .lora_b"),
    "a plain tensor": (lambda w: one(w, Q), "no part of a LoRA"),
    "no such weight": (lambda w: pair(w, "blk.9.attn_q.weight", (4, 64), (64, 4)), "doesn't have"),
    "too few columns": (lambda w: pair(w, Q, (4, 32), (64, 4)), "do not fit"),
    "too many rows": (lambda w: pair(w, Q, (4, 64), (65, 4)), "do not fit"),
    "another rank": (lambda w: pair(w, Q, (4, 64), (64, 8)), "do not fit"),
    "experts": (lambda w: pair(w, Q, (2, 4, 64), (2, 64, 4)), "do not fit"),
    "integers": (lambda w: pair(w, Q, (4, 64), (64, 4), np.int32), "of type I32"),
    "doubles": (lambda w: pair(w, Q, (4, 64), (64, 4), np.float64), "of type F64"),
    "embeddings, wrong": (lambda w: pair(w, "token_embd.weight", (4, 64), (64, 4)), "do not fit"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_refused(gguf, tmp_path: Path, case: str) -> None:
    write, reason = CASES[case]
    writer = begin_adapter(tmp_path / "a.gguf", "llama", 8.0)
    write(writer)
    finish(writer)
    with pytest.raises(AdapterLoadError, match=reason) as caught:
        check_adapter(tmp_path / "a.gguf", gguf("llama"))
    assert "\n" not in str(caught.value)


KEYS: dict[str, tuple[Callable[[Writer], None], str]] = {
    "no type": (lambda w: None, "no general.type"),
    "a model": (lambda w: w.add_type("model"), "general.type is 'model'"),
    "a number for a type": (lambda w: w.add_uint32("general.type", 3), "no adapter"),
    "no kind": (lambda w: w.add_type("adapter"), "only LoRA"),
    "another kind": (lambda w: (w.add_type("adapter"), w.add_string("adapter.type", "dora")), "'dora'"),
    "alpha as a text": (
        lambda w: (
            w.add_type("adapter"),
            w.add_string("adapter.type", "lora"),
            w.add_string("adapter.lora.alpha", "8"),
        ),
        "no number to scale with: '8'",
    ),
    "alpha as an integer": (
        lambda w: (w.add_type("adapter"), w.add_string("adapter.type", "lora"), w.add_uint32("adapter.lora.alpha", 8)),
        "no number to scale with: 8",
    ),
    "no alpha that is one": (
        lambda w: (
            w.add_type("adapter"),
            w.add_string("adapter.type", "lora"),
            w.add_float32("adapter.lora.alpha", float("nan")),
        ),
        "no number to scale with: nan",
    ),
}


@pytest.mark.parametrize("case", KEYS)
def test_what_does_not_say_what_it_is_is_refused(gguf, tmp_path: Path, case: str) -> None:
    write, reason = KEYS[case]
    writer = Writer(tmp_path / "a.gguf", "llama")
    write(writer)
    pair(writer, Q, (4, 64), (64, 4))
    finish(writer)
    with pytest.raises(AdapterLoadError, match=reason):
        check_adapter(tmp_path / "a.gguf", gguf("llama"))


def test_embeddings_that_are_the_output_too_are_refused(gguf, tmp_path: Path) -> None:
    """llama.cpp would end the process at the first batch."""
    reader = gguf_library.GGUFReader(gguf("llama"))
    n_vocab = next(tensor.data.shape[0] for tensor in reader.tensors if tensor.name == "token_embd.weight")
    for name, keep in (("tied", False), ("untied", True)):
        model = Writer(tmp_path / f"{name}.gguf", "llama")
        for tensor in reader.tensors:
            if keep or tensor.name != "output.weight":
                model.add_tensor(tensor.name, tensor.data)
        finish(model)
    writer = begin_adapter(tmp_path / "a.gguf", "llama", 8.0)
    pair(writer, "token_embd.weight", (n_vocab, 4), (64, 4))
    finish(writer)
    check_adapter(tmp_path / "a.gguf", tmp_path / "untied.gguf")
    with pytest.raises(AdapterLoadError, match="output weight too"):
        check_adapter(tmp_path / "a.gguf", tmp_path / "tied.gguf")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_fits_is_taken(gguf, tmp_path: Path, dtype) -> None:
    check_adapter(write_adapter(tmp_path / "a.gguf", gguf("llama"), dtype=dtype), gguf("llama"))


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Cut off, overwritten in places, or with a piece missing; the header is where it hurts."""
    file = bytearray(whole)
    kind = chance.randrange(4)
    if kind == 0:
        return bytes(file[: chance.randrange(len(file))])
    end = 4096 if kind < 3 else len(file)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(4, end)
        if kind == 1:
            file[at] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        elif kind == 2:
            file[at : at + 8] = chance.choice([0, 1, 64, 2**31, 2**63, 2**64 - 1]).to_bytes(8, "little")
        else:
            del file[at : at + chance.randrange(1, 64)]
    return bytes(file)


async def test_damaged_files_end_no_engine(gguf, tmp_path: Path) -> None:
    """Those that are taken all the same can be computed with: the damage is in numbers, or in names of no effect."""
    whole = write_adapter(tmp_path / "whole.gguf", gguf("llama")).read_bytes()
    chance, taken, reasons = random.Random(1), 0, set[str]()
    file = tmp_path / "damaged.gguf"
    async with engine(gguf("llama")) as backend:
        pid = backend.engine_pid
        for _ in range(300):
            file.write_bytes(damaged(whole, chance))
            try:
                adapter = await backend.load_adapter(str(file))
            except AdapterLoadError as error:
                reasons.add(str(error))
                continue
            taken += 1
            await run(backend, request([33, 34, 35], 2, adapters=((adapter, 1.0),)))
            backend.unload_adapter(adapter)
        assert backend.engine_pid == pid and not backend.stats.restarts
    assert 0 < taken < 200
    assert len(reasons) > 20 and not any("\n" in reason for reason in reasons)


async def test_numbers_that_are_none_harm_their_own_requests_only(gguf, tmp_path: Path) -> None:
    whole = bytearray(write_adapter(tmp_path / "a.gguf", gguf("llama")).read_bytes())
    whole[-4000:] = b"\xff" * 4000
    (tmp_path / "a.gguf").write_bytes(whole)
    async with engine(gguf("llama"), adapters=(str(tmp_path / "a.gguf"),)) as backend:
        alone = await run(backend, request([33, 34, 35], 30))
        await run(backend, request([33, 34, 35], 30, adapters=((0, 1.0),)))
        assert (await run(backend, request([33, 34, 35], 30))).tokens == alone.tokens
        assert not backend.stats.restarts
