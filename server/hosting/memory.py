"""How much memory a model will take, told from its file's header, and how long a context it gets beside others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from backends.base import ModelLoadError
from backends.context_size import CELL_PADDING
from backends.gguf.byte_reader import GGUFError
from backends.gguf.memory_need import ContextPlan, need_of
from backends.gguf.model_file import check_model_file
from backends.gguf.model_shape import ModelShape, model_shape
from server.hosting.catalog import ModelSpec

SHORTEST_CONTEXT = 4096
"""Tokens that a model's context is not shortened below for others' sake."""


@dataclass(frozen=True)
class Budget:
    """The memory of all models that are loaded at the same time."""

    total: int
    """Bytes."""
    n_models: int
    """So many share it."""
    binding: bool
    """Whether an operator has said so; else a model that needs more may try alone."""

    def fitted(self, spec: ModelSpec) -> ModelSpec:
        """The same model, with what it needs, and with as long a context as its share of the memory has room for if its
        settings don't say how long. Reads the file's header. Raises ModelLoadError, for what can't be loaded anyway."""
        try:
            file = check_model_file(spec.path)
        except GGUFError as error:
            raise ModelLoadError(f"cannot load {spec.path}: {error}") from None
        try:
            shape = model_shape(file)
        except GGUFError:  # llama.cpp may know more of it
            return replace(spec, memory_needed=file.file_size)
        plan, beside = _plan(spec, shape), _beside(spec)
        if not spec.settings.ctx_size and (longest := self._longest(shape, plan, beside)) < plan.n_ctx:
            plan = msgspec.structs.replace(plan, n_ctx=longest)
            spec = replace(spec, settings=replace(spec.settings, ctx_size=longest))
        needed = need_of(shape, plan).total + beside
        if self.binding and needed > self.total:
            raise ModelLoadError(
                f"cannot load {spec.path.name}: with a context of {plan.n_ctx} tokens it needs about "
                f"{needed >> 20} MiB, and --models-memory is {self.total >> 20}"
            )
        return replace(spec, memory_needed=needed)

    def _longest(self, shape: ModelShape, plan: ContextPlan, beside: int) -> int:
        """The context that it was trained on, or as much of that as fits its share."""
        share = self.total // max(1, self.n_models) - beside

        def fits(n_ctx: int) -> bool:
            return need_of(shape, msgspec.structs.replace(plan, n_ctx=n_ctx)).total <= share

        least, most = min(SHORTEST_CONTEXT, plan.n_ctx), plan.n_ctx
        if fits(most):
            return most
        cells = range(least, most, CELL_PADDING)
        low, high = 0, len(cells)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(cells[middle]) else (low, middle)
        return cells[low] if cells else least


def _beside(spec: ModelSpec) -> int:
    """Bytes of what is loaded with the model, as far as that is known: its draft model and adapters."""
    options = spec.engine_options()
    files = [Path(file) for file in (options.draft_model_path, *options.adapters) if file is not None]
    return sum(file.stat().st_size for file in files if file.exists())


def _plan(spec: ModelSpec, shape: ModelShape) -> ContextPlan:
    own = spec.settings
    return ContextPlan(
        n_ctx=own.ctx_size or shape.n_ctx_train,
        n_parallel=own.parallel,
        n_ubatch=own.ubatch_size,
        type_k=own.cache_type_k,
        type_v=own.cache_type_v,
        flash_attn=own.flash_attn != "off",
        drafts=bool(own.spec_type),
    )
