"""From a signal to the end: what probes and clients see of it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import APIError

from .memory import AVAILABLE
from .serving import DEMO, Server, serving, spawn

CHAT = "/v1/chat/completions"
LONG: dict[str, Any] = {
    "model": DEMO,
    "messages": [{"role": "user", "content": "Tell me a story about a fox."}],
    "temperature": 0,
    "max_tokens": 1500,
    "ignore_eos": True,
}
SHORT = LONG | {"max_tokens": 3}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


class Stream:
    """A long stream, read by a thread; it has begun."""

    def __init__(self, server: Server, **fields: Any) -> None:
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(server.root + CHAT, LONG | {"stream": True} | fields))
        self._thread.start()
        until(lambda: len(self.lines) > 5)

    def _read(self, url: str, body: dict[str, Any]) -> None:
        with httpx.stream("POST", url, json=body, timeout=60) as response:
            for line in response.iter_lines():
                self.lines.append(line)

    def end(self) -> list[str]:
        """Its lines when it is over."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return [line for line in self.lines if line]


def send(server: Server, number: signal.Signals) -> None:
    server.process.send_signal(number)


def not_ready(server: Server) -> None:
    """Wait until health says so: connections must be taken all the while."""
    until(lambda: server.get("/health").status_code == 503)


def finish_reason(lines: list[str]) -> str:
    assert lines[-1] == "data: [DONE]"
    return str(json.loads(lines[-2].removeprefix("data: "))["choices"][0]["finish_reason"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_is_finished_and_the_rest_refused(number: signal.Signals) -> None:
    with (
        serving("--drain-delay", "0" if number == signal.SIGTERM else "60") as server,
        httpx.Client() as kept,
        httpx.Client() as idle,
    ):
        stream = Stream(server)
        assert [client.get(server.root + "/health").status_code for client in (kept, idle)] == [200, 200]
        send(server, number)
        not_ready(server)
        assert server.get("/livez").status_code == 200
        for answer in (kept.post(server.root + CHAT, json=SHORT), server.post(CHAT, SHORT)):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["connection"] == "close"
        assert server.metric("paddock_num_requests_running") == 1
        assert finish_reason(stream.end()) == "length"
        assert server.process.wait(30) == 0


def test_in_the_delay_new_requests_are_served() -> None:
    with serving("--drain-delay", "4") as server:
        send(server, signal.SIGTERM)
        not_ready(server)
        answers = [server.post(CHAT, SHORT) for _ in range(3)]
        stream = Stream(server)
        assert [(answer.status_code, answer.headers["connection"]) for answer in answers] == [(200, "close")] * 3
        assert finish_reason(stream.end()) == "length"
        assert server.process.wait(30) == 0


def test_who_is_left_is_cut_with_an_error() -> None:
    with (
        serving("--parallel", "1", "--drain-timeout", "0.5") as server,
        ThreadPoolExecutor() as threads,
        server.client() as client,
    ):
        stream = client.chat.completions.create(
            model=DEMO, messages=LONG["messages"], stream=True, extra_body={"ignore_eos": True}
        )
        next(stream)
        queued = threads.submit(server.post, CHAT, LONG)
        queued_stream = threads.submit(server.post, CHAT, LONG | {"stream": True})
        until(lambda: server.metric("paddock_num_requests_waiting") == 2)
        send(server, signal.SIGTERM)
        with pytest.raises(APIError, match="shutting down"):
            for _ in stream:
                pass
        assert queued.result().status_code == 503
        assert queued_stream.result().status_code == 503 or "event: error" in queued_stream.result().text
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("flag", ["--drain-delay", "--drain-timeout"])
def test_a_second_signal_ends_it_now(flag: str) -> None:
    with serving(flag, "600") as server:
        stream = Stream(server, max_tokens=None)
        send(server, signal.SIGTERM)
        not_ready(server)
        send(server, signal.SIGTERM)
        assert "event: error" in stream.end()
        assert server.process.wait(30) == 0


@pytest.mark.skipif(not AVAILABLE, reason="needs /proc to find the engine's process")
def test_the_engine_dies_while_the_server_drains() -> None:
    with serving() as server:
        stream = Stream(server)
        send(server, signal.SIGTERM)
        not_ready(server)
        pid = server.engine_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert server.get("/livez").status_code == 200
        assert finish_reason(stream.end()) == "length"
        assert server.process.wait(30) == 0
    assert any("engine process ended" in line for line in server.log)


def test_it_lives_while_it_loads() -> None:
    process = spawn("--drain-delay", "600")
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            found = re.search(r"listening at (http://\S+)/v1,", process.stderr.readline())
        with httpx.Client(base_url=found[1], timeout=30) as client:
            seen = set()
            while not seen or 200 not in {health for _, health in seen}:
                seen.add((client.get("/livez").status_code, client.get("/health").status_code))
        assert {live for live, _ in seen} == {200}
    finally:
        process.kill()
        process.wait()
        process.stderr.close() if process.stderr else None
