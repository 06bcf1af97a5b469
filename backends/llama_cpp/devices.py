"""What llama.cpp can compute on beside the processor: its devices, their memory, and their buffers' names."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Literal

import llama_cpp.llama_cpp as C
import msgspec

from backends.base import ModelLoadError
from backends.gguf.model_shape import EXPERTS_OF_A_LAYER

from . import library, rpc

DeviceType = Literal["cpu", "gpu", "igpu", "accel", "meta"]
_TYPES: tuple[DeviceType, ...] = ("cpu", "gpu", "igpu", "accel", "meta")
"""In the order of ggml-backend.h's enum."""
NONE = "none"
"""What `--device` is told to use no device at all."""
RAM = "CPU"
"""llama.cpp's name of the buffer that is RAM."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device. Bytes; both are 0 where it doesn't tell."""

    name: str
    """As `--device` takes it: CUDA0, Vulkan1, RPC0 …"""
    description: str
    type: DeviceType
    backend: str
    free: int
    total: int
    id: str | None = None
    """Its address on the bus: the same one may be seen by several backends."""

    @property
    def offloads(self) -> bool:
        """Whether layers can be kept there."""
        return self.type in ("gpu", "igpu")


class _Capabilities(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_bool) for name in ("async_", "host_buffer", "buffer_from_host_ptr", "events", "mmap_support")
    )


class _Properties(ctypes.Structure):
    """ggml-backend.h's ggml_backend_dev_props."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", _Capabilities),
    )


class _Override(ctypes.Structure):
    """llama.h's llama_model_tensor_buft_override."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


Pointers = ctypes.Array[ctypes.c_void_p]
Overrides = ctypes.Array[_Override]


def devices_there(rpc_workers: Sequence[str] = ()) -> list[Device]:
    """`devices`, in a process that hasn't used the library. Raises ModelLoadError if a worker isn't there."""
    library.start()
    library.load_backends()
    rpc.register(rpc_workers)
    return devices()


def devices() -> list[Device]:
    """Every device but the processor, which is always there. Call `library.load_backends` first."""
    return [device for device in map(described, handles()) if device.type != "cpu"]


def offload_devices(names: tuple[str, ...] = ()) -> list[Device]:
    """The devices that layers go to, in llama.cpp's order; `names`: those of `--device`. Raises ModelLoadError."""
    if names == (NONE,):
        return []
    if names:
        return [described(_named(name)) for name in names]
    found, ids = [], set()
    for device in devices():
        if device.type == "gpu" and (device.id is None or device.id not in ids):
            ids.add(device.id)
            found.append(device)
    # llama.cpp takes workers first, so that less goes over the network, and integrated GPUs if there is nothing better.
    found.sort(key=lambda device: device.backend != "RPC")
    if all(device.backend == "RPC" for device in found):
        integrated = [device for device in devices() if device.type == "igpu"]
        found += [device for device in integrated if device.backend == integrated[0].backend]
    return found


def device_pointers(names: tuple[str, ...]) -> Pointers:
    """`llama_model_params.devices` for the names of `--device`. Raises ModelLoadError."""
    chosen = () if names == (NONE,) else names
    return (ctypes.c_void_p * (len(chosen) + 1))(*(_named(name) for name in chosen), None)


def override_pairs(given: tuple[tuple[str, str], ...], n_cpu_moe: int) -> tuple[tuple[str, str], ...]:
    """What was given for tensors, and then what keeps the experts of the first `n_cpu_moe` layers in RAM."""
    return given + tuple((rf"blk\.{layer}{EXPERTS_OF_A_LAYER}", RAM) for layer in range(n_cpu_moe))


def tensor_overrides(pairs: tuple[tuple[str, str], ...]) -> Overrides:
    """`llama_model_params.tensor_buft_overrides` for patterns of tensors' names and names of buffers, the first that
    matches a tensor decides. Raises ModelLoadError."""
    buffers = _buffer_types()
    if unknown := [buffer for _pattern, buffer in pairs if buffer not in buffers]:
        raise ModelLoadError(f"--override-tensor: there is no buffer {unknown[0]}, only {', '.join(buffers)}")
    if len(pairs) >= (most := int(C.llama_max_tensor_buft_overrides())):
        raise ModelLoadError(f"--override-tensor: at most {most - 1} patterns are possible, not {len(pairs)}")
    overrides = (_Override * (len(pairs) + 1))()  # the last one stays empty, which ends them
    for override, (pattern, buffer) in zip(overrides, pairs, strict=False):
        override.pattern, override.buffer_type = pattern.encode(), buffers[buffer]
    return overrides


def _named(name: str) -> int:
    handle = _ggml().ggml_backend_dev_by_name(name.encode())
    if not handle or not described(handle).offloads:
        there = ", ".join(device.name for device in devices() if device.offloads)
        others = f"but {there}" if there else "nor any other"
        raise ModelLoadError(f"--device: there is no device {name} to offload to, {others}")
    return int(handle)


def handles() -> list[int]:
    """Every device, the processor among them. Call `library.load_backends` first."""
    ggml = _ggml()
    return [ggml.ggml_backend_dev_get(i) for i in range(ggml.ggml_backend_dev_count())]


def described(handle: int) -> Device:
    ggml, properties = _ggml(), _Properties()
    ggml.ggml_backend_dev_get_props(handle, ctypes.byref(properties))
    return Device(
        name=_text(properties.name),
        description=_text(properties.description),
        type=_TYPES[properties.type],
        backend=_text(ggml.ggml_backend_reg_name(ggml.ggml_backend_dev_backend_reg(handle))),
        free=properties.memory_free,
        total=properties.memory_total,
        id=_text(properties.device_id) or None,
    )


def _buffer_types() -> dict[str, int]:
    """Each device's own kind of buffer, by its name."""
    ggml = _ggml()
    types = (ggml.ggml_backend_dev_buffer_type(handle) for handle in handles())
    return {_text(ggml.ggml_backend_buft_name(kind)): kind for kind in types if kind}


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace").strip()


@cache
def _ggml() -> ctypes.CDLL:
    """ggml's functions, with their types: the binding has none of them."""
    ggml = C._lib  # through llama.cpp's library: by its file name, another copy of ggml would come
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    for name, takes, gives in (
        ("ggml_backend_dev_by_name", ctypes.c_char_p, ctypes.c_void_p),
        ("ggml_backend_dev_buffer_type", ctypes.c_void_p, ctypes.c_void_p),
        ("ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p),
        ("ggml_backend_dev_get", ctypes.c_size_t, ctypes.c_void_p),
        ("ggml_backend_buft_name", ctypes.c_void_p, ctypes.c_char_p),
        ("ggml_backend_reg_name", ctypes.c_void_p, ctypes.c_char_p),
    ):
        function = getattr(ggml, name)
        function.argtypes, function.restype = [takes], gives
    ggml.ggml_backend_dev_get_props.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    ggml.ggml_backend_dev_get_props.restype = None
    assert isinstance(ggml, ctypes.CDLL)
    return ggml
