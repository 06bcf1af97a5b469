"""What to make of a GGUF, and what came of it: what the command and the process that quantizes say to each other."""

from __future__ import annotations

import math

import msgspec


class QuantizeOrder(msgspec.Struct, frozen=True, kw_only=True, tag="quantize"):
    """What to make of `source`. Types of tensors by the names of TENSOR_TYPES."""

    source: str
    """A GGUF, or the first part of a split one."""
    target: str
    """Where to write; with `keep_split`, what the parts' names begin with. Not used by a dry run."""
    file_type: str
    imatrix: str | None = None
    allow_requantize: bool = False
    leave_output_tensor: bool = False
    pure: bool = False
    """One type for all tensors, no mixture."""
    output_tensor_type: str | None = None
    token_embedding_type: str | None = None
    tensor_types: tuple[tuple[str, str], ...] = ()
    """(regular expression, type): of tensors whose names it is found in; the first that fits counts."""
    keep_split: bool = False
    dry_run: bool = False
    threads: int = 0
    """0: as many as there are physical cores."""


class PlannedTensor(msgspec.Struct, frozen=True):
    """What becomes of a tensor."""

    name: str
    shape: tuple[int, ...]
    source_type: str
    target_type: str
    source_bytes: int
    target_bytes: int
    fallback: bool
    """Whether its rows don't fit the type that was meant for it."""

    @property
    def n_values(self) -> int:
        return math.prod(self.shape)


class Quantized(msgspec.Struct, frozen=True, tag="quantized"):
    """What was made, or would be."""

    file_type: str
    tensors: list[PlannedTensor]
    needs_imatrix: bool
    """A dry run's warning: without an importance matrix it would be refused."""
    seconds: float

    @property
    def source_bytes(self) -> int:
        return sum(tensor.source_bytes for tensor in self.tensors)

    @property
    def target_bytes(self) -> int:
        return sum(tensor.target_bytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.target_bytes / max(1, sum(tensor.n_values for tensor in self.tensors))
