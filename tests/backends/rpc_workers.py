"""RPC workers on loopback, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import llama_cpp.llama_cpp as C
import pytest

with_rpc = pytest.mark.skipif(not C.llama_supports_rpc(), reason="llama.cpp is built without RPC: make setup RPC=1")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Worker:
    """`paddock rpc-worker`, with one thread."""

    def __init__(self, port: int | None = None, *flags: str) -> None:
        self.port = port or free_port()
        self.log: list[str] = []
        command = [sys.executable, "-m", "server", "rpc-worker", "-p", str(self.port), "-t", "1", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ready(self) -> None:
        """Wait until it listens."""
        for _ in range(600):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            assert self.process.poll() is None, "".join(self.log)
            time.sleep(0.05)
        raise AssertionError("the worker doesn't listen")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)


@contextmanager
def workers(n: int) -> Iterator[list[Worker]]:
    running = [Worker() for _ in range(n)]
    try:
        for worker in running:
            worker.ready()
        yield running
    finally:
        for worker in running:
            worker.end()
