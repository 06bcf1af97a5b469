"""llama-cpp-python as far as it is used here: `llama_cpp.llama_cpp`, its rendering of llama.h.

Importing that imports its package first, and with it a high-level API (chat formats, a disk cache, numpy): 0.1 s of
every process's start and 10 MiB of its memory, for nothing. So the package enters `sys.modules` unexecuted. Whoever
asks it for more than its submodules, as other people's code in the same process may, gets it executed after all.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

PACKAGE = "llama_cpp"


def import_bare() -> None:
    """To be called before anything imports a submodule; does nothing after."""
    spec = None if PACKAGE in sys.modules else find_spec(PACKAGE)
    if spec is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def execute_and_get(name: str) -> Any:
        if vars(package).pop("__getattr__", None) is not None:
            loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = execute_and_get
    sys.modules[PACKAGE] = package
