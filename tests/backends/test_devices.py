"""Devices and buffers, as far as a machine without GPUs has any; what is on GPUs is in tests/gpu/."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import llama_cpp.llama_cpp as C
import pytest

from backends.base import ModelLoadError
from backends.engine_options import EngineOptions
from backends.llama_cpp import devices, library
from backends.llama_cpp.context import Context, Span
from backends.llama_cpp.model import Model
from tests.e2e.serving import serving

library.start()
library.load_backends()
ON_CPU_ONLY = pytest.mark.skipif(bool(devices.devices()), reason="there is a GPU: tests/gpu/ is for it")


def _logits(path: Path, **options: object) -> list[float]:
    """The best few, after some tokens."""
    given = EngineOptions(model_path=str(path), n_parallel=1, **options)  # type: ignore[arg-type]
    model = Model(given, lambda _fraction: None)
    context = Context(model, given, 256, 1)
    context.decode([Span(0, [1, 2, 3, 4, 5], 0, 1)])  # type: ignore[arg-type]  # numpy takes lists too
    logits = context.logits()[0].tolist()
    context.close()
    model.close()
    return sorted(map(float, logits))[-5:]


def _refusal(path: Path, **options: object) -> str:
    with pytest.raises(ModelLoadError) as refused:
        _logits(path, **options)
    return str(refused.value)


def test_the_processor_is_described_and_no_device() -> None:
    (cpu,) = [device for device in map(devices.described, devices.handles()) if device.type == "cpu"]
    assert (cpu.name, cpu.backend) == ("CPU", "CPU") and cpu.total >= cpu.free > 0
    assert cpu not in devices.devices()


def test_tensors_can_be_told_where_to_be(gguf: Callable[[str], Path]) -> None:
    plain = _logits(gguf("llama"))
    assert _logits(gguf("llama"), tensor_overrides=((".*", "CPU"),)) == pytest.approx(plain)
    assert _logits(gguf("llama"), tensor_overrides=(("no such tensor", "CPU"),)) == plain
    assert _logits(gguf("llama"), n_cpu_moe=4) == plain


def test_an_unknown_buffer_lists_what_there_is(gguf: Callable[[str], Path]) -> None:
    message = _refusal(gguf("llama"), tensor_overrides=((".*", "CUDA7"),))
    assert re.fullmatch(r"--override-tensor: there is no buffer CUDA7, only CPU.*", message)


def test_a_pattern_that_cpp_cannot_read_is_an_error(gguf: Callable[[str], Path]) -> None:
    assert "cannot load" in _refusal(gguf("llama"), tensor_overrides=((r"(?<=x)y", "CPU"),))


def test_there_is_an_end_to_patterns(gguf: Callable[[str], Path]) -> None:
    most = int(C.llama_max_tensor_buft_overrides())
    assert "at most" in _refusal(gguf("llama"), tensor_overrides=(("x", "CPU"),) * most)


def test_no_device_at_all(gguf: Callable[[str], Path]) -> None:
    assert devices.offload_devices(("none",)) == []
    assert _logits(gguf("llama"), devices=("none",)) == pytest.approx(_logits(gguf("llama"), n_gpu_layers=0))


def test_an_unknown_device(gguf: Callable[[str], Path]) -> None:
    with pytest.raises(ModelLoadError, match="--device: there is no device CUDA7 to offload to"):
        devices.offload_devices(("CUDA7",))
    assert "CUDA7" in _refusal(gguf("llama"), devices=("CUDA7",))
    assert "no device CPU to offload to" in _refusal(gguf("llama"), devices=("CPU",))


def test_weights_that_are_no_numbers_are_found(gguf: Callable[[str], Path], tmp_path: Path) -> None:
    data = bytearray(gguf("llama").read_bytes())
    data[-4:] = b"\xff\xff\xff\x7f"  # NaN, in the last tensor
    broken = tmp_path / "nan.gguf"
    broken.write_bytes(data)
    _logits(broken)
    assert "invalid" in _refusal(broken, check_tensors=True)
    assert _logits(gguf("llama"), check_tensors=True, repack=False, numa="distribute") == pytest.approx(
        _logits(gguf("llama"))
    )


# --- the commands ---


def _paddock(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "server", *arguments], capture_output=True, text=True, timeout=60)


@ON_CPU_ONLY
def test_devices_are_listed() -> None:
    for command in (("devices",), ("serve", "--list-devices")):
        done = _paddock(*command)
        assert (done.returncode, done.stdout) == (0, "Available devices:\n  (none)\n")
        assert "docs/gpu.md" in done.stderr
    assert json.loads(_paddock("devices", "--json").stdout) == []


@ON_CPU_ONLY
def test_a_server_told_to_offload_says_that_it_cannot() -> None:
    with serving("-ngl", "5", "--device", "none", "-ot", r"blk\.0\..*=CPU", "--check-tensors") as server:
        assert any("there is no device to offload 5 layers to" in line for line in server.log)
        answer = server.client().completions.create(model="paddock-demo", prompt="Once", max_tokens=4, temperature=0)
        assert answer.choices[0].text


def test_a_server_told_of_an_unknown_device_does_not_start() -> None:
    done = _paddock("serve", "--port", "0", "--device", "CUDA7")
    assert done.returncode == 1
    assert "there is no device CUDA7 to offload to" in done.stderr.splitlines()[-1]
