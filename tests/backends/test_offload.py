"""Layers on devices that are there: RPC workers, which llama.cpp treats as GPUs. Real GPUs are tests/gpu/'s."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.engine_options import EngineOptions
from tests.models.families import Shape, write_model

from .rpc_workers import with_rpc, workers

MIB = 1 << 20

LOAD = """
import json, re, sys
import msgspec
from backends.engine_options import EngineOptions
from backends.llama_cpp import library
from backends.llama_cpp.context import Context, Span
from backends.llama_cpp.model import Model
from backends.llama_cpp.placement import place

options = msgspec.json.decode(sys.argv[1], type=EngineOptions)
placed = place(options)
lines = []
with library.listening(lines.append):
    model = Model(placed.options, lambda fraction: None, placed.file)
    context = Context(model, placed.options, placed.options.n_ctx, 1)
context.decode([Span(0, [1, 2, 3, 4, 5], 0, 1)])
log = "".join(lines)
sizes = re.findall(r"(\\S+) +(model|KV|compute) buffer size = +([\\d.]+) MiB", log)
print(json.dumps({
    "offloaded": [int(n) for n in re.search(r"offloaded (\\d+)/(\\d+) layers", log).groups()],
    "taken": [[name, kind, float(mib)] for name, kind, mib in sizes],
    "planned": placed.plan.on_devices,
    "n_ctx": placed.options.n_ctx,
    "n_gpu_layers": placed.options.n_gpu_layers,
    "notes": placed.notes,
    "best": int(context.logits()[0].argmax()),
}))
"""

pytestmark = with_rpc


@pytest.fixture(scope="module")
def there() -> Iterator[tuple[str, str]]:
    with workers(2) as (first, second):
        yield first.name, second.name


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(n_layer=8, n_embd=256, n_head=4, n_head_kv=4, n_ff=1024, n_ctx=16384)
    return write_model(tmp_path_factory.mktemp("offload") / "m.gguf", "llama", shape=shape)


def _load(model: Path, there: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """What became of it in a process of its own: devices are known there for good."""
    given = EngineOptions(model_path=str(model), rpc=there, n_parallel=2, **options)
    command = [sys.executable, "-c", LOAD, msgspec.json.encode(given).decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _on(found: dict[str, Any], worker: str, *kinds: str) -> float:
    """MiB that llama.cpp took on a worker."""
    return float(sum(mib for name, kind, mib in found["taken"] if worker in name and kind in kinds))


def test_the_plan_is_what_llama_cpp_does(model: Path, there: tuple[str, str]) -> None:
    best = None
    for options in (
        {},
        {"n_gpu_layers": 3, "n_ctx": 4096},
        {"n_gpu_layers": -2, "tensor_split": (1.0, 3.0)},
        {"devices": ("RPC1",), "tensor_overrides": ((r"blk\.[0-3]\.ffn", "CPU"),), "n_ctx": 4096},
    ):
        found = _load(model, there, **options)
        assert found["offloaded"] == [found["n_gpu_layers"], 9], options
        best = found["best"] if best is None else best
        assert found["best"] == best, options
        used = there[1:] if "devices" in options else there
        for worker, planned in zip(used, found["planned"], strict=True):
            exact = _on(found, worker, "model", "KV")
            assert exact <= planned / MIB + 0.1, (options, found)
            assert planned / MIB < exact + 3 * _on(found, worker, "compute") + 16, (options, found)


def test_auto_puts_there_what_fits(model: Path, there: tuple[str, str]) -> None:
    free = [int(mib) for mib in _free(there)]
    margins = tuple(mib - 60 for mib in free)  # the model is 37 MiB, and 16 KiB a cell
    found = _load(model, there, fit_margins_mib=margins)
    assert 0 < found["n_gpu_layers"] <= 9
    assert found["n_ctx"] < 16384 or found["n_gpu_layers"] < 9
    for worker in there:
        assert _on(found, worker, "model", "KV", "compute") <= 66  # computing is estimated


def _free(there: tuple[str, str]) -> list[int]:
    command = [sys.executable, "-m", "server", "devices", "--json", "--rpc", ",".join(there)]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert [device["name"] for device in listed] == ["RPC0", "RPC1"]
    assert all(device["type"] == "gpu" and device["backend"] == "RPC" for device in listed)
    return [device["free"] // MIB for device in listed]
