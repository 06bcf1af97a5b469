"""A GGUF → one of another type, by llama.cpp's `llama_model_quantize`.

First a dry run tells what becomes of each tensor; what would fail is refused then, in words, before anything is
written.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as C

from backends.gguf.tensor_types import TENSOR_TYPES

from .. import library
from ..job import JobFailed, Report, run_job
from ..model import check_gguf
from ..threads import default_threads
from .file_types import FileType, file_type, tensor_type_number
from .imatrix import ImportanceMatrix, read_imatrix
from .log_lines import LoggedTensor, LogReader
from .order import PlannedTensor, Quantized, QuantizeOrder
from .refusals import refuse

MODULE = "backends.llama_cpp.quantization.quantization_process"
_TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}
IMATRIX_NAME = 127
"""Bytes that a key-value pair written by llama.cpp's quantizer may have."""


def quantize(order: QuantizeOrder, report: Report = lambda _done, _total: None) -> Quantized:
    """Carry out `order` in a process of its own. `report`: bytes of the source. Raises JobFailed, or ModelLoadError's
    message as one; a file that was begun is left to the caller."""
    return run_job(MODULE, order, Quantized, report)


def quantize_here(order: QuantizeOrder, report: Report) -> Quantized:
    """The same in this process, which an abort of llama.cpp would end."""
    check_gguf(order.source)
    library.start()
    library.load_backends()
    kind = file_type(order.file_type)
    imatrix = read_imatrix(Path(order.imatrix)) if order.imatrix is not None else None
    began = time.monotonic()
    plan = [_planned(tensor) for tensor in _run(order, kind, imatrix, LogReader(), dry_run=True)]
    lacking = refuse(order, kind, plan, imatrix)
    if not order.dry_run:
        _check_room(order, sum(tensor.target_bytes for tensor in plan))
        total, done, sizes = sum(t.source_bytes for t in plan), 0, {t.name: t.source_bytes for t in plan}
        report(0, total)

        def begins(tensor: LoggedTensor) -> None:
            nonlocal done
            report(done, total)
            done += sizes[tensor.name]

        _run(order, kind, imatrix, LogReader(begins), dry_run=False)
        report(total, total)
    return Quantized(file_type=kind.name, tensors=plan, needs_imatrix=lacking, seconds=time.monotonic() - began)


def _run(
    order: QuantizeOrder, kind: FileType, imatrix: ImportanceMatrix | None, reader: LogReader, *, dry_run: bool
) -> list[LoggedTensor]:
    params = C.llama_model_quantize_default_params()
    params.nthread = order.threads or default_threads()
    params.ftype = kind.number
    params.only_copy = kind.copies
    params.allow_requantize = order.allow_requantize
    params.quantize_output_tensor = not order.leave_output_tensor
    params.pure = order.pure
    params.keep_split = order.keep_split
    params.dry_run = dry_run
    if order.output_tensor_type is not None:
        params.output_tensor_type = tensor_type_number(order.output_tensor_type)
    if order.token_embedding_type is not None:
        params.token_embedding_type = tensor_type_number(order.token_embedding_type)
    kept: list[Any] = []  # llama.cpp gets pointers into these
    if order.tensor_types:
        params.tt_overrides = _overrides(order.tensor_types)
        kept.append(params.tt_overrides)
    if imatrix is not None:
        params.imatrix = _importance(imatrix)
        params.kv_overrides = _origin(order, imatrix)
        kept += [params.imatrix, params.kv_overrides]
    library.last_error()
    with library.listening(reader.take):
        failed = C.llama_model_quantize(order.source.encode(), order.target.encode(), params)
    if failed:
        reason = library.last_error() or "llama.cpp gives no reason"
        raise JobFailed(f"cannot quantize {order.source}: {reason.removeprefix('failed to quantize: ').strip()}")
    return reader.tensors


def _overrides(tensor_types: Sequence[tuple[str, str]]) -> Any:
    kind = C.llama_model_tensor_override
    rows = [kind(pattern.lower().encode(), tensor_type_number(name)) for pattern, name in tensor_types]
    return (kind * (len(rows) + 1))(*rows)  # the last one has no pattern: the end


def _importance(imatrix: ImportanceMatrix) -> Any:
    kind = C.llama_model_imatrix_data
    rows = [
        kind(name.encode(), values.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), values.size)
        for name, values in imatrix.entries.items()
    ]
    return (kind * (len(rows) + 1))(*rows)


def _origin(order: QuantizeOrder, imatrix: ImportanceMatrix) -> Any:
    """The metadata that llama-quantize writes, so that one can tell what a file was made with."""
    assert order.imatrix is not None
    rows = (C.llama_model_kv_override * 5)()
    values: dict[str, str | int] = {"file": Path(order.imatrix).name, "entries_count": len(imatrix.entries)}
    if imatrix.datasets:
        values["dataset"] = imatrix.datasets[0]
    if imatrix.n_chunks > 0:
        values["chunks_count"] = imatrix.n_chunks
    for row, (key, value) in zip(rows, values.items(), strict=False):
        row.key = f"quantize.imatrix.{key}".encode()
        if isinstance(value, str):
            row.tag = C.LLAMA_KV_OVERRIDE_TYPE_STR
            row.value.val_str = value.encode()[:IMATRIX_NAME]
        else:
            row.tag = C.LLAMA_KV_OVERRIDE_TYPE_INT
            row.value.val_i64 = value
    return rows  # the last one has no key: the end


def _planned(tensor: LoggedTensor) -> PlannedTensor:
    return PlannedTensor(
        name=tensor.name,
        shape=tensor.shape,
        source_type=tensor.source,
        target_type=tensor.target,
        source_bytes=_bytes(tensor.shape, tensor.source),
        target_bytes=_bytes(tensor.shape, tensor.target),
        fallback=tensor.fallback,
    )


def _bytes(shape: Sequence[int], name: str) -> int:
    kind = _TYPES[name]
    return math.prod(shape) // kind.block * kind.block_bytes


def _check_room(order: QuantizeOrder, needed: int) -> None:
    free = shutil.disk_usage(Path(order.target).parent).free
    if free < needed:
        raise JobFailed(
            f"{order.file_type} takes {needed / 2**20:,.1f} MiB, and there are {free / 2**20:,.1f} MiB free"
        )
