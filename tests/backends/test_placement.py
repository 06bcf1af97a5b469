"""What is decided before a model is loaded, what is told of it, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import gguf as gguf_library
import numpy as np
import pytest

from backends.base import ModelLoadError
from backends.engine_options import EngineOptions, RopeOptions
from backends.llama_cpp import placement
from backends.llama_cpp.devices import Device
from backends.llama_cpp.placement import Placement, place
from tests.models.broken import BROKEN, write_broken
from tests.models.families import Shape, write_model

MIB, GIB = 1 << 20, 1 << 30
FIT_FOR_LLAMA_CPP = {"only_architecture", "no_keys", "architecture_number", "unknown_architecture", "missing_tensor"}


def _gpu(name: str, free: int) -> Device:
    return Device(name=name, description="a GPU", type="gpu", backend="CUDA", free=free, total=free)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends RAM and GPUs of some sizes, bytes; there is none of them really."""

    def pretend(ram: int, *gpus: int) -> None:
        monkeypatch.setattr(placement, "available_bytes", lambda: ram)
        monkeypatch.setattr(
            placement, "offload_devices", lambda _names: [_gpu(f"CUDA{i}", free) for i, free in enumerate(gpus)]
        )

    return pretend


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 8 layers with much KV: 16 KiB a cell."""
    shape = Shape(n_layer=8, n_embd=512, n_head=8, n_head_kv=8, n_ff=512, n_ctx=32768)
    return write_model(tmp_path_factory.mktemp("wide") / "wide.gguf", "llama", shape=shape)


def _place(path: Path, **options: object) -> Placement:
    return place(EngineOptions(model_path=str(path), **options))  # type: ignore[arg-type]


def _refusal(path: Path, **options: object) -> str:
    with pytest.raises(ModelLoadError) as refused:
        _place(path, **options)
    message = str(refused.value)
    assert message.startswith(f"cannot load {path}: ") and "\n" not in message
    return message


def test_this_machine_without_gpus_has_room_for_a_small_model(gguf: Callable[[str], Path]) -> None:
    placed = _place(gguf("llama"))
    assert (placed.options.n_ctx, placed.notes) == (Shape().n_ctx, ())
    assert placed.options.repack and placed.options.tensor_split == ()


@pytest.mark.parametrize("fault", sorted(BROKEN.keys() - FIT_FOR_LLAMA_CPP))
def test_a_broken_file_is_refused_before_llama_cpp_sees_it(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "library", None)
    _refusal(write_broken(tmp_path / "broken.gguf", fault))


@pytest.mark.parametrize(
    ("key", "value"),
    [("factor", float("nan")), ("factor", float("inf")), ("factor", "x"), ("original_context_length", "x")],
)
def test_positions_that_make_no_sense(tmp_path: Path, key: str, value: float | str) -> None:
    writer = gguf_library.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_context_length(4096)
    writer.add_key_value(f"llama.rope.scaling.{key}", value, gguf_library.GGUFValueType.get_type(value))
    writer.add_tensor("token_embd.weight", np.ones((8, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "RoPE" in _refusal(tmp_path / "m.gguf", n_ctx=8192, rope=RopeOptions(scaling="yarn"))


def test_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in _refusal(tmp_path / "missing.gguf")


def test_layers_without_a_device_are_told(gguf: Callable[[str], Path], machine: Callable[..., None]) -> None:
    machine(8 * GIB)
    for layers, words in ((5, "5 layers"), (-2, "all layers")):
        (note,) = _place(gguf("llama"), n_gpu_layers=layers).notes
        assert note.startswith(f"there is no device to offload {words} to")
    assert _place(gguf("llama"), n_gpu_layers=0).notes == ()


def test_the_context_is_reduced_to_fit_ram(wide: Path, machine: Callable[..., None]) -> None:
    machine(400 * MIB)
    placed = _place(wide)
    assert 256 <= placed.options.n_ctx < 32768
    (note,) = placed.notes
    assert note == (
        f"context reduced from the model's 32768 to {placed.options.n_ctx} tokens to fit memory (-c sets it)"
    )
    assert _place(wide, fit=False).options.n_ctx == 32768


def test_a_context_that_ram_cannot_hold_is_refused_with_numbers(wide: Path, machine: Callable[..., None]) -> None:
    machine(400 * MIB)
    message = _refusal(wide, n_ctx=32768)
    found = re.search(r"of 32768 tokens needs (\d+) MiB of RAM, where 400 MiB are free \(-c (\d+) would fit;", message)
    assert found, message
    assert int(found[1]) > 512
    assert _place(wide, n_ctx=int(found[2])).options.n_ctx == int(found[2])
    assert _place(wide, n_ctx=32768, fit=False).options.n_ctx == 32768


def test_weights_that_only_mapping_can_hold(wide: Path, machine: Callable[..., None]) -> None:
    machine(40 * MIB)
    placed = _place(wide, n_ctx=256)
    assert "are read from the file again and again" in placed.notes[-1]
    assert not placed.options.repack
    assert "--mmap" in _refusal(wide, n_ctx=256, load_mode="none")


def test_as_much_as_fits_goes_to_the_gpu(wide: Path, machine: Callable[..., None]) -> None:
    machine(8 * GIB, 4 * GIB)
    placed = _place(wide)
    assert (placed.options.n_gpu_layers, placed.options.n_ctx) == (9, 32768)
    assert re.fullmatch(r"9 of 9 layers on CUDA0 \(\d+ MiB of 4.0 GiB free\)", placed.notes[0])
    machine(8 * GIB, 110 * MIB)
    placed = _place(wide, fit_margins_mib=(10,))
    assert 0 < placed.options.n_gpu_layers < 9 and placed.options.n_ctx >= 4096
    assert placed.notes[1].endswith("to fit memory (-ngl sets it)")
    machine(8 * GIB, 1 * GIB)  # the margin is as much
    placed = _place(wide)
    assert placed.options.n_gpu_layers == 0
    assert placed.notes == ("0 of 9 layers on devices to fit memory (-ngl sets it)",)


def test_layers_that_the_gpu_cannot_hold_are_refused_with_numbers(wide: Path, machine: Callable[..., None]) -> None:
    machine(8 * GIB, 300 * MIB)
    message = _refusal(wide, n_gpu_layers=-2, n_ctx=32768)
    found = re.search(
        r"tokens with 9 layers on devices needs (\d+) MiB of CUDA0, where 300 MiB are free \((.+) would fit;", message
    )
    assert found, message
    assert int(found[1]) > 300


def test_one_gpu_of_several(wide: Path, machine: Callable[..., None]) -> None:
    machine(8 * GIB, 4 * GIB, 5 * GIB)
    assert "on CUDA1 (" in _place(wide, split_mode="none", main_gpu=1).notes[0]
    with pytest.raises(ModelLoadError, match=re.escape("--main-gpu 2: there are only 2 devices (CUDA0, CUDA1)")):
        _place(wide, split_mode="none", main_gpu=2)
    with pytest.raises(ModelLoadError, match="3 devices, and there are 2"):
        _place(wide, tensor_split=(1.0, 1.0, 1.0))


def test_tensors_kept_in_ram_leave_room(wide: Path, machine: Callable[..., None]) -> None:
    machine(8 * GIB, 110 * MIB)
    options = {"n_ctx": 4096, "fit_margins_mib": (10,)}
    some = _place(wide, **options).options.n_gpu_layers
    more = _place(wide, tensor_overrides=((r"ffn_.*", "CPU"),), **options).options.n_gpu_layers
    assert more > some
    with pytest.raises(ModelLoadError, match="is no regular expression"):
        _place(wide, tensor_overrides=(("(", "CPU"),))


def test_a_draft_model_counts(wide: Path, machine: Callable[..., None]) -> None:
    machine(500 * MIB)
    alone, drafted = _place(wide).options.n_ctx, _place(wide, draft_model_path=str(wide)).options.n_ctx
    assert drafted < alone
    assert _place(wide, draft_model_path=str(wide), speculation=()).options.n_ctx == alone
