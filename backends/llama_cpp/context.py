"""A llama.cpp context: the batch, decode, logits rows, and its memory by sequence id.

One batch is allocated for good and filled through numpy views, so a step costs Python microseconds.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from backends.base import ModelLoadError
from backends.context_size import MAX_IDS, MIN_OUTPUTS, output_rows, sequence_ids
from backends.engine_options import EngineOptions

from . import library, rope
from .devices import offload_devices
from .model import Model
from .prefix_cache import Tokens

CACHE_TYPES = {
    "f32": C.GGML_TYPE_F32,
    "f16": C.GGML_TYPE_F16,
    "bf16": 30,  # GGML_TYPE_BF16: in ggml.h, not in the binding
    "q8_0": C.GGML_TYPE_Q8_0,
    "q5_1": C.GGML_TYPE_Q5_1,
    "q5_0": C.GGML_TYPE_Q5_0,
    "q4_1": C.GGML_TYPE_Q4_1,
    "q4_0": C.GGML_TYPE_Q4_0,
    "iq4_nl": C.GGML_TYPE_IQ4_NL,
}
FLASH_ATTN = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True)
class Span:
    """Consecutive tokens of one sequence in a batch, and how many of its last ones need logits."""

    slot: int
    tokens: Tokens
    start: int
    n_outputs: int


class Context:
    """llama.cpp's `llama_context` and its memory; implements `kv_pool.CellMemory`.

    Raises ModelLoadError if it can't be made (as a rule: out of memory).
    """

    def __init__(
        self, model: Model, options: EngineOptions, n_ctx: int, n_threads: int, min_outputs: int = MIN_OUTPUTS
    ) -> None:
        whole_only = model.recurrent or model.hybrid
        self.n_slots = options.n_parallel
        params = C.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_seq_max = sequence_ids(self.n_slots, whole_only=whole_only)
        # llama.cpp aborts if either is below n_seq_max.
        params.n_batch = max(options.n_batch, params.n_seq_max)
        drafts = bool(options.speculation)
        params.n_outputs_max = output_rows(self.n_slots, whole_only=whole_only, drafts=drafts, least=min_outputs)
        params.n_ubatch = min(options.n_ubatch, params.n_batch)
        params.n_threads = n_threads
        params.n_threads_batch = options.n_threads_batch or n_threads
        rope.set_params(params, options.rope)
        params.type_k = CACHE_TYPES[options.cache_type_k]
        params.type_v = CACHE_TYPES[options.cache_type_v]
        params.flash_attn_type = FLASH_ATTN[options.flash_attn]
        params.kv_unified = True
        params.swa_full = True
        params.offload_kqv = options.kv_offload
        params.op_offload = options.op_offload
        params.no_perf = True
        handle = C.llama_init_from_model(model.handle, params)
        if not handle:
            raise ModelLoadError(f"cannot make a context of {n_ctx} cells: {library.last_error() or 'out of memory?'}")
        self.handle = handle
        self._memory = C.llama_get_memory(handle)
        self.remembers = bool(self._memory)
        """Whether there are KV cells or states at all: not in models that see a whole text at once (BERT, LLaDA)."""
        self.n_ctx = int(C.llama_n_ctx(handle))
        self.n_batch = int(C.llama_n_batch(handle))
        self.n_ubatch = int(C.llama_n_ubatch(handle))
        self.n_outputs = int(params.n_outputs_max)
        self.n_threads = n_threads
        self.on_cpu = options.n_gpu_layers == 0 or not offload_devices(options.devices)
        """Whether no other device computes anything."""
        flash = options.flash_attn != "off" and {options.cache_type_k, options.cache_type_v} <= {"f16", "f32"}
        self.tiled = self.on_cpu and flash and not model.recurrent
        """Whether attention is computed for tiles of a batch's tokens, each by as many cells as any of them needs."""
        n_seq_max = int(C.llama_n_seq_max(handle))
        self._scratch = None if whole_only else self.n_slots
        self.parking_ids = range(self.n_slots, n_seq_max) if whole_only else range(self.n_slots + 1, MAX_IDS)
        self._n_vocab = model.n_vocab
        self._n_outputs_now = 0
        self._logits_at = 0
        self._logits = np.empty((0, self._n_vocab), np.float32)
        """As many rows as llama.cpp may give, where it put them last."""
        self._batch = _Batch(self.n_batch, self.n_ctx)

    def decode(self, spans: list[Span]) -> int:
        """Compute a batch: llama_decode's result (0: done; 1: no room, nothing changed; else see llama.h)."""
        self._n_outputs_now = sum(span.n_outputs for span in spans)
        result = int(C.llama_decode(self.handle, self._batch.fill(spans)))
        C.llama_synchronize(self.handle)  # a GPU goes on computing: without this, steps couldn't be timed
        return result

    def logits(self) -> npt.NDArray[np.float32]:
        """The last batch's logits, in batch order: float32 [outputs, n_vocab], a view until the next decode."""
        if not self._n_outputs_now:
            return self._logits[:0]
        pointer = C.llama_get_logits(self.handle)
        address = ctypes.addressof(pointer.contents)
        if address != self._logits_at:  # a view takes 60 µs to make
            self._logits_at = address
            self._logits = np.ctypeslib.as_array(pointer, (self.n_outputs, self._n_vocab))
        return self._logits[: self._n_outputs_now]

    # --- kv_pool.CellMemory ---

    def copy(self, source: int, target: int, p0: int, p1: int) -> None:
        C.llama_memory_seq_cp(self._memory, source, target, p0, p1)

    def remove(self, seq: int, p0: int, p1: int) -> bool:
        return bool(C.llama_memory_seq_rm(self._memory, seq, p0, p1))

    def first_position(self, seq: int) -> int:
        return int(C.llama_memory_seq_pos_min(self._memory, seq))

    def save(self, seq: int) -> bytes | bytearray:
        source = seq
        if self._scratch is not None:
            source = self._scratch
            self.copy(seq, source, 0, -1)
        size = C.llama_state_seq_get_size(self.handle, source)
        state = bytearray(size)
        written = C.llama_state_seq_get_data(self.handle, _bytes_pointer(state), size, source)
        if source != seq:
            self.remove(source, -1, -1)
        return state if written == size else b""

    def restore(self, seq: int, state: bytes | bytearray) -> bool:
        return int(C.llama_state_seq_set_data(self.handle, _bytes_pointer(state), len(state), seq)) > 0

    def close(self) -> None:
        C.llama_free(self.handle)


class _Batch:
    """llama_batch over numpy arrays of our own."""

    def __init__(self, n_batch: int, n_ctx: int) -> None:
        self._tokens = np.zeros(n_batch, np.int32)
        self._positions = np.zeros(n_batch, np.int32)
        self._counts = np.ones(n_batch, np.int32)
        self._seqs = np.zeros(n_batch, np.int32)
        self._seq_pointers = self._seqs.ctypes.data + 4 * np.arange(n_batch, dtype=np.uint64)
        self._outputs = np.zeros(n_batch, np.int8)
        self._all_positions = np.arange(n_ctx, dtype=np.int32)
        self._struct = C.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, C.llama_token),
            embd=None,
            pos=_pointer(self._positions, C.llama_pos),
            n_seq_id=_pointer(self._counts, ctypes.c_int32),
            seq_id=_pointer(self._seq_pointers, ctypes.POINTER(C.llama_seq_id)),
            logits=_pointer(self._outputs, ctypes.c_int8),
        )

    def fill(self, spans: list[Span]) -> C.llama_batch:
        """The spans as a llama_batch, valid until the next call."""
        i = 0
        for span in spans:
            n = len(span.tokens)
            j = i + n
            self._tokens[i:j] = span.tokens
            self._positions[i:j] = self._all_positions[span.start : span.start + n]
            self._seqs[i:j] = span.slot
            self._outputs[i:j] = 0
            self._outputs[j - span.n_outputs : j] = 1
            i = j
        self._struct.n_tokens = i
        return self._struct


def _bytes_pointer(state: bytes | bytearray) -> Any:
    """States are gigabytes: they are handed over where they are."""
    return _pointer(np.frombuffer(state, np.uint8), ctypes.c_uint8)


def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
