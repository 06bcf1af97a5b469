"""Where a model goes on this machine, decided from its header before anything large is loaded.

`offload_plan.py` calculates; here it is asked what there is, and said what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes

from msgspec.structs import replace

from backends.available_memory import available_bytes
from backends.base import ModelLoadError
from backends.context_size import CELL_PADDING
from backends.engine_options import EngineOptions
from backends.gguf.header import Header
from backends.gguf.memory_need import ContextPlan
from backends.gguf.model_file import ModelFile
from backends.gguf.model_shape import ModelShape, model_shape

from . import library, rpc
from .devices import RAM, Device, offload_devices
from .model import check_gguf
from .offload_plan import AUTO, RAM_IN_WORDS, Companion, Host, Plan, Planner, Room, Wish
from .rope import TrainedRope, decide

DEFAULT_CTX = 4096
"""For the odd GGUF that doesn't say what it was trained on."""


@dataclass(frozen=True)
class Placement:
    """What was decided."""

    file: ModelFile
    options: EngineOptions
    """With numbers in place of what was left open."""
    notes: tuple[str, ...]
    plan: Plan | None
    """None: which device gets how much is llama.cpp's to decide (--split-mode row, tensor)."""


def place(options: EngineOptions) -> Placement:
    """Check the model's file, and decide how much of it goes where and how long its context is. Raises ModelLoadError:
    also if it can't fit, with the numbers."""
    file = check_gguf(options.model_path)
    library.start(verbose=options.verbose)
    library.load_backends()
    rpc.register(options.rpc)
    if not offload_devices(options.devices):
        options = replace(options, draft_n_gpu_layers=0)
    there = _devices(options)
    notes = _without_effect(options, there)
    shape = model_shape(file, in_ram=_kept_in_ram(options))
    wish = _wish(file.header, shape, options)
    if there and options.split_mode in ("row", "tensor"):  # how much each device gets isn't known here
        return Placement(file, replace(options, n_ctx=wish.n_ctx or wish.max_ctx), tuple(notes), None)
    host = Host(available_bytes(), mapped=options.load_mode in ("auto", "mmap"))
    rooms = _rooms(there, options)
    planner = Planner(shape, _context(options), rooms, host, _companion(options, shape))
    plan = planner.fitting(wish) if options.fit else planner.as_asked(wish)
    if plan is None:
        plan = planner.as_asked(with_changes(wish, n_ctx=wish.n_ctx or CELL_PADDING))
        unknown = {device.name for device in there if not device.total}
        if excess := [place for place in planner.excess(plan) if place[0] not in unknown]:
            raise ModelLoadError(_too_large(options.model_path, planner, wish, plan, excess))
    notes += _told(wish, plan, planner, rooms)
    if options.fit and host.mapped and plan.ram_weights + plan.in_ram > host.available:
        notes.append(
            f"the weights ({_gib(plan.ram_weights)}) don't fit into the memory that is left ("
            f"{_gib(max(0, host.available - plan.in_ram))}): they are read from the file again and again, slowly"
        )
        options = replace(options, repack=False)  # those would be copies, which can't be read again
    decided = replace(
        options,
        n_ctx=plan.n_ctx,
        n_gpu_layers=plan.n_gpu_layers,  # 0 without devices: then computing is known to be the CPU's
        n_cpu_moe=plan.n_cpu_moe if there else None,
        tensor_split=plan.shares if there else (),
    )
    return Placement(file, decided, tuple(notes), plan)


# --- what there is ---


def _devices(options: EngineOptions) -> list[Device]:
    """Those that may hold layers."""
    there = offload_devices(options.devices)
    if options.n_gpu_layers == 0:
        return []
    if len(options.tensor_split) > len(there) and there:
        raise ModelLoadError(
            f"--tensor-split names the shares of {len(options.tensor_split)} devices, and there are {len(there)}"
        )
    if options.split_mode != "none" or not there:
        return there
    if options.main_gpu >= len(there):
        names = ", ".join(device.name for device in there)
        raise ModelLoadError(f"--main-gpu {options.main_gpu}: there are only {len(there)} devices ({names}), from 0")
    return [there[options.main_gpu]]


def _rooms(there: Sequence[Device], options: EngineOptions) -> list[Room]:
    margins = options.fit_margins_mib * len(there) if len(options.fit_margins_mib) == 1 else options.fit_margins_mib
    padded = [*margins, *[0] * len(there)]
    return [Room(device.name, device.free, margin << 20) for device, margin in zip(there, padded, strict=False)]


def _without_effect(options: EngineOptions, there: Sequence[Device]) -> list[str]:
    """What was asked of devices, where there are none."""
    if there or options.n_gpu_layers in (0, AUTO):
        return []
    asked = "all layers" if options.n_gpu_layers < 0 else f"{options.n_gpu_layers} layers"
    return [f"there is no device to offload {asked} to (docs/gpu.md): everything is computed by the CPU"]


# --- what is wished ---


def _wish(header: Header, shape: ModelShape, options: EngineOptions) -> Wish:
    return Wish(
        n_ctx=options.n_ctx,
        max_ctx=_reach(header, shape, options),
        min_ctx=options.fit_ctx,
        n_gpu_layers=options.n_gpu_layers,
        n_cpu_moe=None if options.n_cpu_moe is None else min(options.n_cpu_moe, len(shape.layers)),
        shares=options.tensor_split,
        kv_on_devices=options.kv_offload,
    )


def _reach(header: Header, shape: ModelShape, options: EngineOptions) -> int:
    """Tokens that the model's positions cover."""
    texts = {key: str(value) for key, value in header.values.items() if isinstance(value, str | int | float)}
    try:
        # With the context asked for too, as later: numbers that can't be are to be found here.
        trained = TrainedRope.of(texts, shape.n_ctx_train or DEFAULT_CTX)
        decide(options.rope, trained, options.n_ctx)
        return decide(options.rope, trained, 0).reach
    except (ArithmeticError, ValueError):
        raise ModelLoadError(f"cannot load {options.model_path}: what it says of RoPE makes no sense") from None


def _kept_in_ram(options: EngineOptions) -> list[re.Pattern[str]]:
    """--override-tensor's patterns of what stays in RAM. llama.cpp reads them too, in C++."""
    try:
        return [re.compile(pattern) for pattern, buffer in options.tensor_overrides if buffer == RAM]
    except re.error as error:
        raise ModelLoadError(f"--override-tensor: {error.pattern!r} is no regular expression ({error.msg})") from None


def _context(options: EngineOptions) -> ContextPlan:
    return ContextPlan(
        n_ctx=options.n_ctx,
        n_parallel=options.n_parallel,
        n_ubatch=options.n_ubatch,
        type_k=options.cache_type_k,
        type_v=options.cache_type_v,
        flash_attn=options.flash_attn != "off",
        drafts=bool(options.speculation),
    )


def _companion(options: EngineOptions, shape: ModelShape) -> Companion | None:
    """The draft model, where it will be used."""
    unused = options.draft_model_path is None or "draft-simple" not in options.speculation
    if unused or shape.has_states:
        return None
    assert options.draft_model_path is not None
    draft = model_shape(check_gguf(options.draft_model_path))
    context = replace(_context(options), type_k="f16", type_v="f16")
    return Companion(draft, context, on_devices=options.draft_n_gpu_layers != 0)


# --- what came of it ---


def _told(wish: Wish, plan: Plan, planner: Planner, rooms: Sequence[Room]) -> list[str]:
    """What was chosen, where it was left open."""
    notes = []
    if plan.n_ctx < (wish.n_ctx or wish.max_ctx):
        notes.append(
            f"context reduced from the model's {wish.max_ctx} to {plan.n_ctx} tokens to fit memory (-c sets it)"
        )
    if not rooms:
        return notes
    places = ", ".join(
        f"{room.name} ({_gib(need)} of {_gib(room.free)} free)"
        for room, need in zip(rooms, plan.on_devices, strict=True)
        if need
    )
    fewer = wish.n_gpu_layers == AUTO and plan.n_gpu_layers < planner.n_offloadable
    why = " to fit memory (-ngl sets it)" if fewer else ""
    layers = f"{plan.n_gpu_layers} of {planner.n_offloadable} layers"
    notes.append(f"{layers} on {places or 'devices'}{why}")
    if plan.n_cpu_moe and wish.n_cpu_moe is None:
        notes.append(f"the experts of {plan.n_cpu_moe} layers are in RAM to fit memory (-ncmoe sets it)")
    return notes


def _too_large(path: str, planner: Planner, wish: Wish, plan: Plan, excess: Sequence[tuple[str, int, int]]) -> str:
    """Why a plan is impossible, and what would be possible."""
    where = " and ".join(f"{_gib(need)} of {name}, where {_gib(free)} are free" for name, need, free in excess)
    layers = f" with {plan.n_gpu_layers} layers on devices" if plan.n_gpu_layers else ""
    advice = []
    shorter = planner.fitting(with_changes(wish, n_ctx=0, max_ctx=plan.n_ctx, min_ctx=CELL_PADDING))
    if wish.n_ctx and shorter is not None and shorter.n_gpu_layers == plan.n_gpu_layers:
        advice.append(f"-c {shorter.n_ctx}")
    fewer = planner.fitting(with_changes(wish, n_ctx=plan.n_ctx, n_gpu_layers=AUTO))
    if fewer is not None and fewer.n_gpu_layers < plan.n_gpu_layers:
        advice.append(f"-ngl {fewer.n_gpu_layers}")
    if not planner.host.mapped and plan.ram_weights and any(name == RAM_IN_WORDS for name, _, _ in excess):
        advice.append(f"--mmap, with which {_gib(plan.ram_weights)} of weights stay in the file,")
    would = f" ({' or '.join(advice)} would fit; --fit off tries all the same)" if advice else ""
    return f"cannot load {path}: a context of {plan.n_ctx} tokens{layers} needs {where}{would}"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
