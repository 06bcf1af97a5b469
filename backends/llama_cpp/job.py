"""One piece of llama.cpp's work in a process of its own: what aborts there ends that process, not the command.

The parent sends an order, the child sends how far it is, and at last a result or why there is none. The child ends when
the parent does.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

import msgspec

from backends.base import BackendError

from .channel import Channel

Report = Callable[[int, int], None]
"""Takes how much is done, and of how much."""
_Order = TypeVar("_Order", bound=msgspec.Struct)
_Result = TypeVar("_Result", bound=msgspec.Struct)

ABORTED = re.compile(r"^.*?(GGML_ASSERT\(.*\) failed|terminate called.*|fatal error.*)$", re.MULTILINE)
"""What ggml and C++ write before they abort."""


class JobFailed(BackendError):
    """The work can't be done; the message is one line."""


class _Progress(msgspec.Struct, frozen=True, tag="progress"):
    done: int
    total: int


class _Failed(msgspec.Struct, frozen=True, tag="failed"):
    message: str


def run_job(module: str, order: msgspec.Struct, result_type: type[_Result], report: Report) -> _Result:
    """Have `module`'s `main`, which calls `serve_job`, carry out `order`. Raises JobFailed; whatever is raised, the
    process is gone then. `result_type` is a tagged struct."""
    parent, child = socket.socketpair()
    with tempfile.TemporaryFile() as stderr:
        with child:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(child.fileno())],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            with Channel[Any](parent, _Progress | _Failed | result_type) as channel:
                with suppress(BrokenPipeError):  # how it ended says more
                    channel.send(order)
                while (message := channel.receive()) is not None:
                    if isinstance(message, result_type):
                        return message
                    if isinstance(message, _Failed):
                        raise JobFailed(message.message)
                    report(message.done, message.total)
            raise JobFailed(f"llama.cpp gave up: {_last_words(process.wait(), stderr)}")
        finally:
            process.kill()
            process.wait()


def serve_job(order_type: type[_Order], work: Callable[[_Order, Report], msgspec.Struct]) -> None:
    """The child's whole life: take an order, do it, answer. `work` may raise BackendError."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when both end
        signal.signal(number, signal.SIG_IGN)
    channel: Channel[_Order] = Channel.from_fd(int(sys.argv[1]), order_type)
    order = channel.receive()
    if order is None:
        return
    threading.Thread(target=_end_with_parent, args=(channel,), daemon=True).start()
    try:
        answer = work(order, lambda done, total: channel.send(_Progress(done, total)))
    except BackendError as error:
        answer = _Failed(str(error))
    except MemoryError:
        answer = _Failed("out of memory")
    with suppress(ConnectionError):
        channel.send(answer)
    os._exit(0)


def _end_with_parent(channel: Channel[_Order]) -> None:
    channel.receive()
    os._exit(1)


def _last_words(status: int, stderr: IO[bytes]) -> str:
    stderr.seek(0)
    said = stderr.read().decode(errors="replace")
    if found := ABORTED.search(said):
        return found[1].strip()
    how = f"exit status {status}" if status >= 0 else f"signal {-status}"
    lines = said.strip().splitlines()
    return f"{how}: {lines[-1].strip()}" if lines else f"{how}, without a reason"
