"""A model on a real GPU, whole or in part: the text is the CPU's, as far as kernels' noise lets it be.

Skipped, visibly, where llama.cpp finds no GPU. `tests/backends/test_offload.py` has what can be tested without one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backends.llama_cpp import devices
from tests.backends.engine_runs import EXACT, engine, request, run
from tests.models.families import Shape, write_model
from tests.models.reference import assert_same_greedy, greedy

GPUS = [device for device in devices.devices_there() if device.offloads and device.backend != "RPC"]
pytestmark = pytest.mark.skipif(not GPUS, reason="llama.cpp finds no GPU here")

N_LAYERS, N_TOKENS = 6, 48
NOISE = 0.1
"""Of logits of unit size: GPUs multiply in half precision, or with ten bits (TF32)."""
PROMPTS = ([0, 72, 101, 108, 108, 111], [0, *range(65, 91)], [0, *range(97, 123)] * 6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(n_layer=N_LAYERS, n_embd=256, n_head=4, n_head_kv=2, n_ff=512)  # heads of 64: flash attention's
    return write_model(tmp_path_factory.mktemp("gpu") / "m.gguf", "llama", shape=shape)


@pytest.fixture(scope="module")
def references(model: Path) -> list[Any]:
    return [greedy(model, prompt, N_TOKENS, **EXACT) for prompt in PROMPTS]


@pytest.mark.parametrize(
    ("options", "noise"),
    [
        ({}, NOISE),
        ({"n_gpu_layers": 1}, NOISE),
        ({"n_gpu_layers": N_LAYERS // 2}, NOISE),
        ({"n_gpu_layers": -2, "flash_attn": "off"}, NOISE),
        ({"flash_attn": "on"}, NOISE),
        ({"flash_attn": "on", "cache_type_k": "q8_0", "cache_type_v": "q8_0"}, 3 * NOISE),
        ({"kv_offload": False}, NOISE),
        ({"op_offload": False, "n_gpu_layers": 2}, NOISE),
        ({"tensor_overrides": ((r"blk\.[0-2]\.ffn", "CPU"),)}, NOISE),
        ({"split_mode": "none", "main_gpu": 0}, NOISE),
    ],
    ids=str,
)
async def test_the_text_is_the_cpus(model: Path, references: list[Any], options: dict[str, Any], noise: float) -> None:
    async with engine(model, **options) as backend:
        note = next(note for note in backend.model.notes if re.match(rf"\d+ of {N_LAYERS + 1} layers on ", note))
        asked = options.get("n_gpu_layers", -1)
        assert note.startswith(f"{asked if asked >= 0 else N_LAYERS + 1} of ")
        for prompt, reference in zip(PROMPTS, references, strict=True):
            result = await run(backend, request(prompt, N_TOKENS))
            assert_same_greedy(result.tokens[0], reference, noise)


async def test_no_device_is_no_gpu(model: Path) -> None:
    async with engine(model, devices=("none",)) as backend:
        assert not any("layers on" in note for note in backend.model.notes)


def test_what_is_free_is_what_there_is() -> None:
    for device in GPUS:
        assert 0 < device.free <= device.total
