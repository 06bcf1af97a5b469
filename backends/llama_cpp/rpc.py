"""Devices of other machines: llama.cpp's RPC backend, which sends a part of a model to workers (`paddock rpc-worker`)
and has it computed there.

llama.cpp ends the process if a worker isn't there, doesn't answer or goes away, so each is greeted here before it is
told of it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as C

from backends.base import ModelLoadError

BACKEND = b"RPC"
"""Its name in ggml's registry."""
SECONDS = 5.0
"""How long a worker has for its answer."""
PROTOCOL = (7, 0)
"""ggml-rpc.h's RPC_PROTO_MAJOR_VERSION and RPC_PROTO_MINOR_VERSION."""
HELLO = struct.pack("<BQ24x", 14, 24)
"""The protocol's first message: its number, its length, and capabilities, of which there are none."""
ANSWER = struct.Struct("<QBBB25x")
"""Its length, the version, padding and capabilities."""

_registered: set[str] = set()


def register(servers: Sequence[str]) -> None:
    """Make the devices of the workers at `host:port` devices of this process. Raises ModelLoadError.

    To be called after `library.load_backends`. A worker that has been registered is known for good.
    """
    for server in servers:
        if server in _registered:
            continue
        add_server = function("ggml_backend_rpc_add_server", ctypes.c_void_p, ctypes.c_char_p)
        _greet(server)
        registry = add_server(server.encode())
        if not registry:
            raise ModelLoadError(f"the RPC worker at {server} has no device to offer")
        ggml_register = C._lib.ggml_backend_register
        ggml_register.argtypes = [ctypes.c_void_p]
        ggml_register(registry)
        _registered.add(server)


def function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the RPC backend, which may be a library of its own. Raises ModelLoadError if it isn't built in."""
    by_name, address = C._lib.ggml_backend_reg_by_name, C._lib.ggml_backend_reg_get_proc_address
    by_name.restype = address.restype = ctypes.c_void_p
    by_name.argtypes, address.argtypes = [ctypes.c_char_p], [ctypes.c_void_p, ctypes.c_char_p]
    registry = by_name(BACKEND)
    if not registry:
        raise ModelLoadError("this build of llama.cpp has no RPC: make setup RPC=1 makes one that has")
    return ctypes.CFUNCTYPE(result, *arguments)(address(registry, name.encode()))


def _greet(server: str) -> None:
    """Raises ModelLoadError if that is no worker, or not one for us."""
    host, _, port = server.rpartition(":")
    answer = b""
    try:
        with socket.create_connection((host, int(port)), SECONDS) as connection:
            connection.sendall(HELLO)
            while len(answer) < ANSWER.size and (piece := connection.recv(ANSWER.size - len(answer))):
                answer += piece
    except TimeoutError:
        raise ModelLoadError(
            f"the RPC worker at {server} doesn't answer: a worker works for one server at a time, is it another's?"
        ) from None
    except OSError as error:
        raise ModelLoadError(f"no RPC worker can be reached at {server}: {error.strerror or error}") from None
    if len(answer) < ANSWER.size or ANSWER.unpack(answer)[0] != ANSWER.size - 8:
        raise ModelLoadError(f"what answers at {server} is no RPC worker of this llama.cpp's version")
    _, major, minor, _ = ANSWER.unpack(answer)
    if major != PROTOCOL[0] or minor > PROTOCOL[1]:
        raise ModelLoadError(
            f"the RPC worker at {server} speaks version {major}.{minor} of the protocol, this llama.cpp "
            f"{'.'.join(map(str, PROTOCOL))}: install the same version of Paddock on both"
        )
