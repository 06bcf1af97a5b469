"""Replicas behind HAProxy, by the very configuration that deploy/ ships."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from .serving import Server, serving

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
REPLICAS = 3
"""As many as the configuration names."""
DRAIN_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Replica:
    """A server that can be restarted at its address."""

    def __init__(self, *flags: str) -> None:
        self.port = free_port()
        self._flags = flags
        self._running: AbstractContextManager[Server] | None = None

    def start(self) -> None:
        """Return when it is ready."""
        self._running = serving("--port", str(self.port), *self._flags)
        self.server = self._running.__enter__()

    def stop(self) -> None:
        """SIGTERM, and an exit status of 0 when all that ran has been answered."""
        running, self._running = self._running, None
        if running is not None:
            self.server.process.terminate()
            self.server.process.wait(timeout=DRAIN_SECONDS)
            running.__exit__(None, None, None)

    def in_rotation(self) -> bool:
        """Whether the load balancer has asked it how it is since it started: at the first good answer it is in."""
        return any(
            line.startswith("paddock_http_requests_total") and 'handler="/health"' in line and 'status="200"' in line
            for line in self.server.get("/metrics").text.splitlines()
        )


@contextmanager
def replicas(*flags: str) -> Iterator[list[Replica]]:
    made = [Replica(*flags) for _ in range(REPLICAS)]
    try:
        for replica in made:
            replica.start()
        yield made
    finally:
        for replica in made:
            replica.stop()


@contextmanager
def balancing(behind: list[Replica]) -> Iterator[str]:
    """The load balancer's URL, ending with /v1; all replicas are in rotation."""
    haproxy = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if haproxy is None:
        pytest.skip("HAProxy is not installed")
    port = free_port()
    addresses = {f"PADDOCK_{n}": f"127.0.0.1:{replica.port}" for n, replica in enumerate(behind, 1)}
    process = subprocess.Popen(
        [haproxy, "-db", "-f", str(CONFIGURATION)],
        env={**os.environ, **addresses, "BIND": f"127.0.0.1:{port}"},
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: all(replica.in_rotation() for replica in behind), "a replica in rotation")
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=10)


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {seconds:g} s"
        time.sleep(0.05)
