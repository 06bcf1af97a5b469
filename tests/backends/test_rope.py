"""What comes of RoPE flags: how far positions reach, what is said of it, and what the engine does."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.engine_options import RopeOptions
from backends.llama_cpp.rope import TrainedRope, decide
from tests.models.families import Shape, write_model

from .engine_runs import engine, request, run

PLAIN = TrainedRope(2048, original_ctx=2048)
YARN = TrainedRope(8192, "yarn", 4.0, 2048)
LINEAR = TrainedRope(8192, "linear", 4.0, 8192)


def test_what_a_gguf_says() -> None:
    of = TrainedRope.of
    assert of({"general.architecture": "llama"}, 2048) == PLAIN
    keys = {
        "general.architecture": "qwen2",
        "qwen2.rope.scaling.type": "yarn",
        "qwen2.rope.scaling.factor": "4.000000",
        "qwen2.rope.scaling.original_context_length": "2048",
    }
    assert of(keys, 8192) == YARN
    assert of({"general.architecture": "llama", "llama.rope.scale_linear": "4.000000"}, 8192) == LINEAR


def test_nothing_asked_nothing_changed() -> None:
    for trained in (PLAIN, YARN, LINEAR, TrainedRope(4096, "yarn", 4.0, 4096), TrainedRope(9000, "longrope")):
        for n_ctx in (0, 512, trained.n_ctx):
            rope = decide(RopeOptions(), trained, n_ctx)
            assert (rope.options, rope.reach, rope.notes) == (RopeOptions(), trained.n_ctx, ())


@pytest.mark.parametrize("scaling", ["linear", "yarn"])
def test_the_scale_follows_from_the_context(scaling: str) -> None:
    rope = decide(RopeOptions(scaling=scaling), PLAIN, 8192)  # type: ignore[arg-type]
    assert rope.options.freq_scale == 0.25
    assert rope.reach == 8192
    assert rope.notes == (f"RoPE: {scaling} scaling of 2048 tokens by 4, which covers 8192",)


def test_a_restart_decides_the_same() -> None:
    """It asks for as many tokens as the first context turned out to have: -c, rounded up."""
    first, second = (decide(RopeOptions(scaling="yarn"), PLAIN, n_ctx) for n_ctx in (8000, 8192))
    assert first.options == second.options


@pytest.mark.parametrize(
    ("wanted", "trained", "reach"),
    [
        (RopeOptions(scaling="yarn", freq_scale=1 / 3), PLAIN, 6144),
        (RopeOptions(freq_scale=0.5), PLAIN, 4096),
        (RopeOptions(freq_scale=1 / 8), YARN, 16384),
        (RopeOptions(freq_scale=1 / 8), LINEAR, 16384),
        (RopeOptions(scaling="linear"), YARN, 8192),
        (RopeOptions(scaling="none"), YARN, 2048),
        (RopeOptions(scaling="yarn", freq_scale=0.25, yarn_orig_ctx=1024), PLAIN, 4096),
    ],
)
def test_reach(wanted: RopeOptions, trained: TrainedRope, reach: int) -> None:
    rope = decide(wanted, trained, 0)
    assert (rope.options, rope.reach) == (wanted, reach)
    assert len(rope.notes) == 1 and rope.notes[0].endswith(f"which covers {reach}")


def test_too_long_a_context_is_told_with_what_helps() -> None:
    (note,) = decide(RopeOptions(), PLAIN, 8192).notes
    assert note.startswith("context of 8192 tokens is longer than the 2048 that the model was trained on: --rope-scal")
    *_, note = decide(RopeOptions(freq_scale=0.5), PLAIN, 8192).notes
    assert note == "context of 8192 tokens is longer than the 4096 that positions cover: --rope-scale 4 would do"
    assert decide(RopeOptions(freq_base=80_000.0), PLAIN, 8192).notes == ("RoPE: base frequency 80000",)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (RopeOptions(scaling="none", freq_scale=0.5), "--rope-scale"),
        (RopeOptions(scaling="yarn"), "--rope-scaling yarn"),
        (RopeOptions(scaling="yarn", freq_scale=0.5, yarn_attn_factor=1.0), "--yarn-attn-factor"),
        (RopeOptions(freq_scale=0.5, yarn_beta_fast=16.0), "--yarn-beta-fast"),
    ],
)
def test_what_has_no_effect_is_told(wanted: RopeOptions, named: str) -> None:
    (note,) = (note for note in decide(wanted, PLAIN, 0).notes if "no effect" in note)
    assert named in note


def test_models_without_rope() -> None:
    mamba = TrainedRope(2048, rotates=False)
    rope = decide(RopeOptions(freq_scale=0.5), mamba, 4096)
    assert (rope.options, rope.reach) == (RopeOptions(), 2048)
    assert "no effect" in rope.notes[0] and rope.notes[1].endswith("was trained on")


async def test_context_size_left_open_is_what_positions_cover(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", "llama", shape=Shape(n_ctx=256))
    rope = RopeOptions(scaling="yarn", freq_scale=0.25)
    async with engine(path, n_ctx=0, rope=rope) as backend:
        assert (backend.model.n_ctx, backend.model.n_ctx_train) == (1024, 256)
        done = await run(backend, request([7] * 900, 8))
    assert len(done.tokens[0]) == 8
