"""llama.cpp as directly as its binding allows: a model, a context and batches, for measurements in tests."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import llama_cpp.llama_cpp as lib
import numpy as np


class Entry(NamedTuple):
    """One token of a batch."""

    token: int
    position: int
    sequence: int
    output: bool = True


_drop = lib.llama_log_callback(lambda _level, _text, _data: None)
"""llama.cpp's log lines are of no use in a test's output."""


class LowLevel:
    """A loaded GGUF and one context with a unified KV cache."""

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int = 2048,
        n_seq_max: int = 4,
        n_batch: int = 2048,
        n_ubatch: int = 512,
        flash_attn: bool | None = None,
        cache_type: int = lib.GGML_TYPE_F16,
    ) -> None:
        lib.llama_log_set(_drop, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"{path} does not load")
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = n_ctx, n_batch, n_ubatch, n_seq_max
        params.n_threads = params.n_threads_batch = 1  # small matrices: a second thread only waits
        params.kv_unified = params.swa_full = True
        params.type_k = params.type_v = cache_type
        params.flash_attn_type = -1 if flash_attn is None else int(flash_attn)
        self.context = lib.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError(f"no context for {path}")
        self.memory = lib.llama_get_memory(self.context)
        self.n_vocab = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model)))
        self.batch = lib.llama_batch_init(n_batch, 0, 1)

    def decode(self, entries: Sequence[Entry]) -> np.ndarray:
        """One llama_decode; the logits of the entries that ask for them, one row each."""
        self.batch.n_tokens = len(entries)
        for i, entry in enumerate(entries):
            self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = entry.token, entry.position, entry.output
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = entry.sequence
        status = lib.llama_decode(self.context, self.batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        rows = [i for i, entry in enumerate(entries) if entry.output]
        logits = np.empty((len(rows), self.n_vocab), np.float32)
        for row, i in enumerate(rows):
            logits[row] = np.ctypeslib.as_array(lib.llama_get_logits_ith(self.context, i), (self.n_vocab,))
        return logits

    def clear(self) -> None:
        lib.llama_memory_clear(self.memory, True)

    def close(self) -> None:
        lib.llama_batch_free(self.batch)
        lib.llama_free(self.context)
        lib.llama_model_free(self.model)


@contextmanager
def opened(path: Path, **options: int | bool | None) -> Iterator[LowLevel]:
    """A LowLevel for the length of a `with` block."""
    low = LowLevel(path, **options)  # type: ignore[arg-type]
    try:
        yield low
    finally:
        low.close()
