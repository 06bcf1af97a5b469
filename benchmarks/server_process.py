"""A peer that runs: started, awaited, asked, measured, and stopped by its own process group."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from . import client
from .answer import Answer, Refused, answer_of
from .client import Exchange
from .peers import MODEL_NAME, Peer, Setup
from .processes import Memory, cpu_seconds, memory
from .prompts import Message

CHAT = "/v1/chat/completions"
START_SECONDS = 300
STOP_SECONDS = 20
POLL_SECONDS = 0.01
IDLE_SHARE = 0.03
"""Of one core: less than this counts as idle."""
IDLE_WINDOW = 0.3
"""Seconds over which that is looked at."""
SETTLE_SECONDS = 20

SAMPLING: Mapping[str, Any] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.0}
"""Of every request that doesn't say otherwise."""


class StartFailed(Exception):
    """The server ended, or took too long; the message holds the end of what it wrote."""


class ServerProcess:
    """A running server. Times are seconds."""

    def __init__(self, peer: Peer, setup: Setup, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.peer = peer
        self.setup = setup
        self.ready_after = 0.0
        self._process = process
        self._port = port
        self._log = log

    async def chat(self, messages: list[Message], max_tokens: int, *, may_end: bool = False, **fields: Any) -> Answer:
        """Ask, and read the answer to its end: that of `max_tokens`, unless it `may_end` before. Raises Refused."""
        exchange = await self.start_chat(messages, max_tokens, may_end=may_end, **fields)
        try:
            await exchange.finished()
        except asyncio.CancelledError:
            exchange.hang_up()
            raise
        answer = answer_of(exchange, max_tokens)
        if answer.finish_reason is None:
            raise Refused(200, f"the stream broke off after {len(answer.times)} pieces{self._ended()}")
        return answer

    async def start_chat(
        self, messages: list[Message], max_tokens: int, *, may_end: bool = False, **fields: Any
    ) -> Exchange:
        """Ask, and leave the rest to the caller."""
        request = {
            "model": MODEL_NAME,
            "messages": messages,
            "max_tokens": max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **SAMPLING,
            **fields,
        }
        ends = () if may_end else self.setup.ends
        try:
            return await Exchange.start(self._port, CHAT, self.peer.body(request, ends))
        except OSError as error:
            raise Refused(0, f"{error}{self._ended()}") from None

    def memory(self) -> Memory | None:
        return memory(self._process.pid)

    async def settled(self) -> float:
        """Wait until the server computes nothing any more; its share of a core then, which is at most IDLE_SHARE
        unless it never settles."""
        share = 1.0
        deadline = perf_counter() + SETTLE_SECONDS
        while share > IDLE_SHARE and perf_counter() < deadline:
            before, started = cpu_seconds(self._process.pid), perf_counter()
            await asyncio.sleep(IDLE_WINDOW)
            share = (cpu_seconds(self._process.pid) - before) / (perf_counter() - started)
        return share

    async def _ready(self, started: float) -> None:
        while await client.status_of(self._port, self.peer.ready_path) != 200:
            if self._process.poll() is not None:
                raise StartFailed(f"{self.peer.name} ended at its start: {self._last_words()}")
            if perf_counter() - started > START_SECONDS:
                raise StartFailed(f"{self.peer.name} isn't ready after {START_SECONDS} s: {self._last_words()}")
            await asyncio.sleep(POLL_SECONDS)
        self.ready_after = perf_counter() - started

    async def _stop(self) -> None:
        """In good order if it will; else the whole group."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)

    def _ended(self) -> str:
        """For messages: how the server has ended, if it has."""
        status = self._process.poll()
        return "" if status is None else f"; the server has ended with status {status}: {self._last_words()}"

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


@asynccontextmanager
async def running(peer: Peer, setup: Setup) -> AsyncIterator[ServerProcess]:
    """A server that is ready, until the end of the block. Raises StartFailed."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as temporary:
        folder = Path(temporary)
        log = folder / "log.txt"
        port = _free_port()
        command = peer.command(setup, port, folder)
        started = perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        server = ServerProcess(peer, setup, process, port, log)
        try:
            await server._ready(started)
            yield server
        finally:
            await server._stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((client.HOST, 0))
        return int(probe.getsockname()[1])
