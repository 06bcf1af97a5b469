"""LoRA adapters of a loaded model, over llama.h: loaded and freed by id, and applied to its context a set at a time."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp.llama_cpp as C

from backends.base import AdapterSet

from . import library
from .engine_messages import AdapterLoaded, LoadAdapter


class Adapters:
    """Those of one model, and which of them its context computes with."""

    def __init__(self, model: int, context: int) -> None:
        """llama.cpp's handles."""
        self._model, self._context = model, context
        self._handles: dict[int, Any] = {}
        self._applied: AdapterSet = ()

    def have(self, adapters: AdapterSet) -> bool:
        """Whether all of them are loaded."""
        return all(adapter in self._handles for adapter, _ in adapters)

    def load(self, order: LoadAdapter) -> AdapterLoaded:
        """The file has been checked (`adapter_file.py`): a wrong one could end the process."""
        handle = C.llama_adapter_lora_init(self._model, order.path.encode())
        if not handle:
            reason = library.last_error() or "llama.cpp gives no reason"
            return AdapterLoaded(order.id, f"cannot load the LoRA adapter {order.path}: {reason}")
        self._handles[order.id] = handle
        return AdapterLoaded(order.id)

    def unload(self, adapter: int) -> None:
        """Free it. Nothing may need it any more."""
        if handle := self._handles.pop(adapter, None):
            self.apply(())  # llama.cpp compares addresses, and would take the next one there for this one
            C.llama_adapter_lora_free(handle)

    def apply(self, adapters: AdapterSet) -> None:
        """Compute with these, all of them loaded, from the next batch on. If they are others than before, that batch
        takes a few milliseconds longer: llama.cpp builds its graphs anew."""
        if adapters == self._applied:
            return
        n = len(adapters)
        handles = (C.llama_adapter_lora_p_ctypes * n)(*(self._handles[adapter] for adapter, _ in adapters))
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
        C.llama_set_adapters_lora(self._context, handles, n, scales)
        self._applied = adapters
