"""The other end of `rpc.py`: lend this machine's devices to a server elsewhere."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import library, rpc
from .devices import Device, described, handles

NO_GPU = ("cpu", "accel")


def devices() -> dict[int, Device]:
    """All that this machine has, as far as this build of llama.cpp can use them, by llama.cpp's handles."""
    library.start()
    library.load_backends()
    return {handle: described(handle) for handle in handles()}


def offered(found: Mapping[int, Device]) -> list[int]:
    """Those to lend if none are named: the GPUs; without any, the CPU."""
    gpus = [handle for handle, device in found.items() if device.type not in NO_GPU]
    return gpus or [handle for handle, device in found.items() if device.type == "cpu"]


def serve(host: str, port: int, lent: Sequence[int], n_threads: int, cache: Path | None) -> None:
    """Work for one client after the other; returns only if that can't be begun. `host`: an IPv4 address.

    `cache`: the folder where large tensors that were sent are kept, to be found again by their hashes.
    Raises ModelLoadError if RPC isn't built in.
    """
    start = rpc.function(
        "ggml_backend_rpc_start_server",
        None,
        *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)),
    )
    pointers = (ctypes.c_void_p * len(lent))(*lent)
    start(f"{host}:{port}".encode(), cache and str(cache).encode(), n_threads, len(lent), pointers)
