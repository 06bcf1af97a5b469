"""The engine process dies, and the server's clients see nothing of it, or a clear error."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.model_source import find_model

from .outliving import DEATHS, FLAGS, Answer, Pulse, disturbed, kill_engine, undisturbed
from .serving import DEMO, Server, serving

FIM_MIDDLE = 2823
"""A token of the demo model that it never writes."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the engine")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(*FLAGS) as server:
        yield server


@pytest.fixture(scope="module")
def expected(server: Server) -> list[Answer]:
    return asyncio.run(undisturbed(server))


def counters(server: Server) -> dict[str, float]:
    lines = re.findall(r"^(paddock_\w+(?:_total|_count|_bucket)(?:\{.*\})?) (\S+)$", server.get("/metrics").text, re.M)
    return {series: float(value) for series, value in lines}


async def test_streams_outlive_two_engines(server: Server, expected: list[Answer]) -> None:
    before, restarts = counters(server), server.metric("paddock_engine_restarts_total")
    prompt_tokens = server.metric("paddock_prompt_tokens_total")

    async def kill(pulse: Pulse) -> None:
        for number in DEATHS[:2]:
            await pulse.go_on(400)
            await kill_engine(server, number)
            assert server.get("/livez").status_code == 200

    await disturbed(server, expected, kill)
    server.settled()
    after = counters(server)
    assert all(after[series] >= value for series, value in before.items())
    assert server.metric("paddock_engine_restarts_total") == restarts + 2
    assert server.metric("paddock_prompt_tokens_total") - prompt_tokens == 4 * sum(a.prompt_tokens for a in expected)


async def test_an_engine_that_dies_while_it_loads(server: Server, expected: list[Answer]) -> None:
    async def kill(pulse: Pulse) -> None:
        await pulse.go_on(100)
        await kill_engine(server, DEATHS[2])
        assert server.get("/health").status_code == 503
        await kill_engine(server)

    await disturbed(server, expected, kill, n_streams=8)
    assert server.get("/health").status_code == 200


async def test_a_request_that_kills_the_engine_gets_an_error_and_the_others_their_answers(
    monkeypatch: pytest.MonkeyPatch, expected: list[Answer]
) -> None:
    monkeypatch.setenv("KILLS", str(FIM_MIDDLE))
    monkeypatch.setenv("FAILS", "-1")
    with serving(*FLAGS, module="tests.e2e.frail_server") as frail:
        failures = []

        async def poison(pulse: Pulse) -> None:
            await pulse.go_on(200)
            async with httpx.AsyncClient(base_url=frail.url, timeout=60) as client:
                for stream in (False, True):
                    body = {"model": DEMO, "prompt": [5, FIM_MIDDLE, 6], "max_tokens": 20, "stream": stream}
                    failures.append(await client.post("/completions", json=body))

        await disturbed(frail, expected, poison, n_streams=12)
        whole, streamed = failures
        assert whole.status_code == 500 and whole.json()["error"]["code"] == "engine_error"
        assert "died twice" in whole.json()["error"]["message"]
        assert streamed.text.startswith("event: error\ndata: ") or streamed.status_code == 500
        assert "died twice" in streamed.text and "[DONE]" not in streamed.text
        assert 3 <= frail.metric("paddock_engine_restarts_total") <= 6
        assert frail.get("/health").status_code == 200


def test_a_model_that_cannot_be_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(find_model(None), path)
    away = path.with_suffix(".away")
    body: dict[str, Any] = {"model": "model", "prompt": "Once", "max_tokens": 1500, "ignore_eos": True}
    with serving(str(path), module="tests.e2e.frail_server") as server:
        with httpx.stream("POST", server.url + "/completions", json={**body, "stream": True}, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            path.rename(away)
            assert server.engine_pid
            os.kill(server.engine_pid, signal.SIGKILL)
            text = "\n".join(lines)
        assert "event: error\n" in text and '"code":"unavailable"' in text and "cannot be started again" in text
        assert "[DONE]" not in text
        health = server.get("/health")
        assert health.status_code == 503 and int(health.headers["retry-after"]) > 0
        refused = server.post("/v1/completions", body)
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert server.get("/livez").status_code == 200
        away.rename(path)
        while server.get("/health").status_code != 200:
            time.sleep(0.1)
        assert server.post("/v1/completions", {**body, "max_tokens": 5}).status_code == 200
