"""`paddock serve` as a process of its own, for tests."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from openai import AsyncOpenAI, OpenAI

READY = re.compile(r'ready: .* at (https?://[^\s"]+)')
START_SECONDS = 60
"""What the README promises for the first token is promised here for readiness too."""

DEMO = "paddock-demo"


@dataclass
class Server:
    """A running server. `url` ends with /v1; `root` doesn't."""

    process: subprocess.Popen[str]
    url: str = ""
    log: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def client(self) -> OpenAI:
        return OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=120)

    def async_client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=120)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.root + path, timeout=60)

    def post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(self.root + path, json=body, timeout=120)

    def metric(self, name: str) -> float:
        """A metric's value, summed over its labels."""
        lines = [line for line in self.get("/metrics").text.splitlines() if re.match(rf"{name}(\{{| )", line)]
        assert lines, f"no metric {name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def settled(self) -> None:
        """Wait until nothing runs or waits."""
        for _ in range(300):
            if not self.metric("paddock_num_requests_running") and not self.metric("paddock_num_requests_waiting"):
                return
            time.sleep(0.1)
        raise AssertionError("the server is still busy")

    @property
    def engine_pid(self) -> int | None:
        """Its engine process, as long as there is one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in children.read_text().split():
            with suppress(OSError):
                if b"engine" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def stop(self) -> int:
        """End it as an operator would; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def spawn(*flags: str, module: str = "server") -> subprocess.Popen[str]:
    """Start `paddock serve` with one compute thread, so that tests don't depend on idle cores."""
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--threads", "1", *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


@contextmanager
def serving(*flags: str, module: str = "server") -> Iterator[Server]:
    """A server that is ready, and is stopped in good order at the end."""
    server = Server(spawn(*flags, module=module))
    ready = threading.Event()

    def read() -> None:
        assert server.process.stderr is not None
        for line in server.process.stderr:
            server.log.append(line)
            if found := READY.search(line):
                server.url = found[1]
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        assert ready.wait(START_SECONDS) and server.url, "".join(server.log)
        yield server
        assert server.stop() == 0, "".join(server.log)
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
