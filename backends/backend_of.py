"""Which engine a model is loaded in: llama.cpp's, as there is no other."""

from __future__ import annotations

from backends.base import LoadableBackend
from backends.engine_options import EngineOptions
from backends.llama_cpp.client import LlamaCppBackend


def backend_of(options: EngineOptions) -> LoadableBackend:
    """A backend that nothing has been started of."""
    return LlamaCppBackend(options)
