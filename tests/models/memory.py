"""What the header of a model's file says of the memory that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backends.gguf.memory_need import ContextPlan, MemoryNeed, need_of
from backends.gguf.model_file import read_model_file
from backends.gguf.model_shape import model_shape


def memory_needed(path: Path, n_ctx: int, **plan: Any) -> MemoryNeed:
    """For a context of so many tokens; `plan`: what is not as by default."""
    return need_of(model_shape(read_model_file(path)), ContextPlan(n_ctx=n_ctx, **plan))
