"""`paddock rpc-worker`: lend this machine's memory and processors to a server on another one."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from server.command_line import UsageError
from server.commands.command import Command, CommandError

if TYPE_CHECKING:
    from backends.llama_cpp.devices import Device

PORT = 50052


def run(args: argparse.Namespace) -> int:
    address = _free_address(args.host, args.port)
    from backends.base import ModelLoadError
    from backends.llama_cpp import rpc, rpc_worker
    from backends.llama_cpp.threads import default_threads

    found = rpc_worker.devices()
    lent = rpc_worker.offered(found) if args.device is None else _named(args.device, found)
    try:
        rpc.function("ggml_backend_rpc_start_server", None)
    except ModelLoadError as error:
        raise CommandError(str(error)) from None
    cache = _cache_folder() if args.cache else None
    if not ip_address(address).is_loopback:
        _say(
            f"WARNING: whoever reaches {address}:{args.port} may read and write this process's memory, without any "
            "key: let nobody but your servers reach it"
        )
    devices = ", ".join(f"{d.name} ({d.description}, {d.free >> 20} MiB)" for d in map(found.__getitem__, lent))
    _say(f"lending {devices} at {address}:{args.port}")

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # they are the main thread's
        rpc_worker.serve(address, args.port, lent, args.threads or default_threads(), cache)

    # The library prints a line for each connection, of which a server makes dozens while it loads.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # In a thread, for Python handles signals only while it runs.
    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        worker.join()
    except KeyboardInterrupt:
        _say("stopped")
        os._exit(130)  # nothing is torn down while the library may be computing with it
    raise CommandError(f"llama.cpp has given up serving at {address}:{args.port}")


def _free_address(host: str, port: int) -> str:
    """The host's IPv4 address (llama.cpp takes no other), at which the port is free. Raises CommandError."""
    try:
        address = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        raise CommandError(f"cannot listen at {host}: it has no IPv4 address") from None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            advice = " (--port takes another)" if error.errno == errno.EADDRINUSE else ""
            raise CommandError(f"cannot listen at {host}:{port}: {error.strerror}{advice}") from None
    return address


def _named(names: str, found: Mapping[int, Device]) -> list[int]:
    by_name = {device.name: handle for handle, device in found.items()}
    try:
        return [by_name[name] for name in names.split(",")]
    except KeyError as error:
        raise UsageError(f"--device: there is no {error.args[0]} here, but {', '.join(by_name)}") from None


def _cache_folder() -> Path:
    """Where llama.cpp's own rpc-server keeps it."""
    if given := os.environ.get("LLAMA_CACHE"):
        folder = Path(given) / "rpc"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library/Caches/llama.cpp/rpc"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama.cpp/rpc"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot keep a cache in {folder}: {error.strerror}") from None
    return folder


def _say(line: str) -> None:
    print(f"paddock rpc-worker: {line}", file=sys.stderr, flush=True)


def _port(text: str) -> int:
    return _whole(text, 1, 65535)


def _threads(text: str) -> int:
    return _whole(text, 1, 512)


def _whole(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-H", "--host", default="127.0.0.1", help="address to listen at; beware of others' (default: %(default)s)"
    )
    parser.add_argument(
        "-p", "--port", type=_port, default=PORT, metavar="N", help="port to listen at (default: %(default)s)"
    )
    parser.add_argument(
        "-d", "--device", metavar="NAMES", help="devices to lend, separated by commas (default: the GPUs, else the CPU)"
    )
    parser.add_argument(
        "-t", "--threads", type=_threads, metavar="N", help="threads of the CPU (default: the physical cores)"
    )
    parser.add_argument(
        "-c", "--cache", action="store_true", help="keep large tensors on disk, so that they needn't be sent again"
    )


COMMAND = Command(
    usage="[flags]",
    summary="lend this machine's memory and processors to a server elsewhere",
    description="The server takes it by --rpc HOST:PORT. A worker works for one server at a time. It asks for no key, "
    "and does whatever it is told: docs/rpc.md.",
    configure=configure,
    run=run,
)
