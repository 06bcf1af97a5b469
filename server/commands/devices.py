"""`paddock devices`: what a model's layers can be offloaded to."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from server.commands.command import Command, CommandError
from server.config.rpc import workers


def run(args: argparse.Namespace) -> int:
    return list_devices(args.rpc, as_json=args.json)


def list_devices(rpc: Sequence[str], *, as_json: bool) -> int:
    """Print them, those of RPC workers too. Raises CommandError."""
    from backends.available_memory import available_bytes
    from backends.base import ModelLoadError
    from backends.llama_cpp.devices import devices_there

    try:
        devices = devices_there(rpc)
    except ModelLoadError as error:
        raise CommandError(str(error)) from None
    if as_json:
        print(json.dumps([{key: getattr(device, key) for key in device.__struct_fields__} for device in devices]))
        return 0
    print("Available devices:")
    for device in devices:
        print(f"  {device.name}: {device.description} ({device.total >> 20} MiB, {device.free >> 20} MiB free)")
    if not devices:
        print("  (none)")
        print(
            f"no GPU that this build of llama.cpp can use (docs/gpu.md): models are computed by the CPU, with "
            f"{available_bytes() >> 20} MiB of memory available",
            file=sys.stderr,
        )
    return 0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rpc", type=workers, default=(), metavar="HOST:PORT,…", help="list those of these RPC workers too"
    )
    parser.add_argument("--json", action="store_true", help="print them as JSON, sizes in bytes")


COMMAND = Command(
    usage="[--json]",
    summary="list the GPUs and other devices that models can be offloaded to",
    configure=configure,
    run=run,
)
