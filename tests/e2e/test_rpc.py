"""A server whose model is on workers: one of them goes away and comes back. And the workers' command."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.backends.rpc_workers import Worker, free_port, with_rpc, workers

from .serving import DEMO, serving

pytestmark = with_rpc
COMMAND = [sys.executable, "-m", "server", "rpc-worker"]


def test_a_stream_goes_on_when_its_worker_is_back() -> None:
    with workers(2) as (first, second), serving("--rpc", f"{first.name},{second.name}", "-c", "2048") as server:
        client = server.client()

        def stream(n: int) -> object:
            return client.completions.create(
                model=DEMO, prompt="Once", max_tokens=n, temperature=0, stream=True, extra_body={"ignore_eos": True}
            )

        chunks = iter(stream(250))  # type: ignore[call-overload]
        for _ in range(10):
            next(chunks)
        second.end()
        # The engine is started in vain, until there is a worker again.
        told = f"no RPC worker can be reached at {second.name}"
        for _ in range(3000):
            if any(told in line for line in server.log):
                break
            time.sleep(0.01)
        assert server.get("/health").status_code == 503
        refused = server.post("/v1/completions", {"model": DEMO, "prompt": "Once", "max_tokens": 2})
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        third = Worker(second.port)
        try:
            *_, last = chunks
            assert last.choices[0].finish_reason == "length"
            assert server.metric("paddock_engine_restarts_total") == 1
            assert server.get("/health").status_code == 200
        finally:
            third.end()


def failed(*flags: str, status: int) -> str:
    done = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("paddock rpc-worker: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_says_what_it_lends_and_ends_with_a_signal(number: signal.Signals) -> None:
    worker = Worker()
    worker.ready()
    worker.process.send_signal(number)
    assert worker.process.wait(timeout=20) == 130
    (lends,) = worker.log[:1]
    assert lends.startswith("paddock rpc-worker: lending ") and lends.rstrip().endswith(f" at {worker.name}")
    assert not any("WARNING" in line for line in worker.log)


def test_a_worker_that_others_reach_warns() -> None:
    worker = Worker(None, "--host", "0.0.0.0", "-d", "CPU")
    worker.ready()
    worker.end()
    assert worker.log[0].startswith(f"paddock rpc-worker: WARNING: whoever reaches 0.0.0.0:{worker.port} may read and")
    assert "lending CPU (" in worker.log[1]


def test_what_a_worker_cannot_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = f"cannot listen at 127.0.0.1:{port}: Address already in use (--port takes another)"
        assert failed("-p", str(port), status=1) == told
    assert failed("--host", "no-such-host.invalid", status=1).startswith("cannot listen at no-such-host.invalid")
    told = "--device: there is no CUDA7 here, but CPU"
    assert failed("-d", "CUDA7", "-p", str(free_port()), status=2).startswith(told)
    assert "must be a whole number from 1 to 65535" in failed("-p", "none", status=2)


@pytest.mark.parametrize("servers", ["here", "here:0", "here:70000", "[::1]:50052", "a:1;b:2"])
def test_servers_that_are_none_are_refused(servers: str) -> None:
    command = [sys.executable, "-m", "server", "serve", "--rpc", servers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--rpc must be HOST:PORT" in done.stderr
