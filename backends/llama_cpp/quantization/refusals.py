"""What llama.cpp would refuse halfway, or abort at, told before any work: from the plan of a dry run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..job import JobFailed
from .file_types import UNQUANTIZED, FileType
from .imatrix import ImportanceMatrix
from .order import PlannedTensor, QuantizeOrder
from .zero_blocks import BLOCK, STORED_WRONGLY, with_zero_blocks

NEED_IMATRIX = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"}
"""Types that are garbage without an importance matrix; llama.cpp refuses them, but for embeddings and output."""
ABORT_WITHOUT = {"IQ1_S", "IQ2_XXS", "IQ2_XS"}
"""Types of which ggml asserts it, for any tensor."""
NEEDS_IMATRIX = "needs an importance matrix: --imatrix FILE (llama.cpp's llama-imatrix makes one)"
EXEMPT = {"token_embd.weight", "per_layer_token_embd.weight", "output.weight"}


def refuse(
    order: QuantizeOrder, kind: FileType, plan: Sequence[PlannedTensor], imatrix: ImportanceMatrix | None
) -> bool:
    """Raises JobFailed; of a dry run, returns whether an importance matrix would be needed and isn't there."""
    changed = [tensor for tensor in plan if tensor.source_type != tensor.target_type]
    if not order.allow_requantize:
        for tensor in changed:
            if tensor.source_type not in UNQUANTIZED:
                raise JobFailed(
                    f"{order.source} is quantized already ({tensor.name} is {tensor.source_type}): quantizing again "
                    "loses more than from F16 or F32 (--allow-requantize does it all the same)"
                )
    if not order.dry_run:  # which reads headers only
        _check_zero_blocks(order, changed)
    needing = [tensor for tensor in changed if _needs_imatrix(tensor, kind)]
    if imatrix is None:
        if needing and not order.dry_run:
            raise JobFailed(f"{kind.name} {NEEDS_IMATRIX}")
        return bool(needing)
    _check_fit(order, kind, changed, needing, imatrix)
    return False


def _check_zero_blocks(order: QuantizeOrder, changed: Sequence[PlannedTensor]) -> None:
    names = {tensor.name for tensor in changed if tensor.target_type == STORED_WRONGLY}
    if names and (found := with_zero_blocks(Path(order.source), names)):
        raise JobFailed(
            f"{found[0]}{_and_more(len(found))} would be garbage: llama.cpp stores rows that have {BLOCK} zeros on end "
            f"wrongly as {STORED_WRONGLY} (--tensor-type '{re.escape(found[0])}=q4_K' gives it another type)"
        )


def _and_more(count: int) -> str:
    return f" and {count - 1} more tensors" if count > 1 else ""


def _needs_imatrix(tensor: PlannedTensor, kind: FileType) -> bool:
    if tensor.target_type in ABORT_WITHOUT:
        return True
    needs = tensor.target_type in NEED_IMATRIX or (tensor.target_type == "Q2_K" and kind.name == "Q2_K_S")
    return needs and tensor.name not in EXEMPT


def _check_fit(
    order: QuantizeOrder,
    kind: FileType,
    changed: Sequence[PlannedTensor],
    needing: Sequence[PlannedTensor],
    imatrix: ImportanceMatrix,
) -> None:
    """The matrix must be of this model, and have what the type needs."""
    known = [tensor for tensor in changed if tensor.name in imatrix.entries]
    if changed and not known:
        raise JobFailed(f"{order.imatrix} has data for none of the tensors of {order.source}: it is another model's")
    for tensor in known:
        size, wanted = imatrix.entries[tensor.name].size, tensor.shape[0] * tensor.shape[2]
        if size != wanted:
            raise JobFailed(
                f"{order.imatrix} is another model's: it has {size} values for {tensor.name}, which takes {wanted}"
            )
    missing = [tensor.name for tensor in needing if tensor.name not in imatrix.entries]
    if missing:
        raise JobFailed(
            f"{order.imatrix} has no data for {missing[0]}{_and_more(len(missing))}, which {kind.name} needs"
        )
