"""A GGUF's logits at every position, as precisely as llama.cpp has them, and its tokens."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import llama_cpp.llama_cpp as lib
import numpy as np

from backends.llama_cpp.vocab import Vocabulary
from tests.models.lowlevel import Entry, opened


def gguf_logits(path: Path, tokens: Sequence[int], adapter: Path | None = None, scale: float = 1.0) -> np.ndarray:
    """One row per token."""
    with opened(path, n_ctx=256, n_seq_max=1, flash_attn=False, cache_type=lib.GGML_TYPE_F32) as low:
        if adapter is not None:
            loaded = lib.llama_adapter_lora_init(low.model, str(adapter).encode())
            assert loaded, "the adapter doesn't load"
            _apply(low.context, loaded, scale)
        return low.decode([Entry(token, position, 0) for position, token in enumerate(tokens)])


def _apply(context: object, adapter: object, scale: float) -> None:
    adapters = (lib.llama_adapter_lora_p_ctypes * 1)(adapter)
    scales = (ctypes.c_float * 1)(scale)
    assert lib.llama_set_adapters_lora(context, adapters, 1, scales) == 0


def gguf_tokens(path: Path, texts: Sequence[str], *, add_special: bool = True) -> list[list[int]]:
    """Each text's, with markup."""
    vocabulary = Vocabulary(str(path))
    return [vocabulary.tokenize(text.encode(), add_special=add_special, parse_special=True) for text in texts]
