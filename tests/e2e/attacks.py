"""What the tests of attacks share: a server that is attacked, requests as raw bytes, and what must hold afterwards."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from .serving import DEMO, Server

MARK = "QuokkaSecret7"
"""In every hostile prompt: must be in no log line and in no error."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a log line must not hold: terminals and parsers of logs heed it."""
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

FRANCE = {"model": DEMO, "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}


def still_serves(server: Server) -> None:
    answer = server.post("/v1/chat/completions", FRANCE)
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


def told_nothing(server: Server) -> None:
    """No prompt, no traceback and no control character in the log."""
    log = "".join(server.log)
    assert MARK not in log
    assert "Traceback" not in log, log[-4000:]
    assert not CONTROL.search(log), [line for line in server.log if CONTROL.search(line)]


def harmless(response: httpx.Response, *statuses: int) -> dict[str, Any]:
    """A success, or an error of the client's that doesn't repeat the prompt; its JSON."""
    assert response.status_code in (statuses or range(200, 500)), response.text[:500]
    whole: dict[str, Any] = response.json()
    if response.status_code >= 400:
        assert whole["error"].keys() == {"message", "type", "param", "code"}
        assert MARK not in response.text
        assert len(response.content) < 4000
    return whole


def raw(server: Server, *pieces: bytes, timeout: float = 2.0, pause: float = 0.3) -> bytes:
    """What comes back for these bytes until the server closes, or says nothing: for `timeout` seconds at first, and
    then for `pause`."""
    with connection(server, timeout) as client:
        answer = b""
        try:
            for piece in pieces:
                client.sendall(piece)
            while part := client.recv(65536):
                answer += part
                client.settimeout(pause)
        except (TimeoutError, ConnectionError):
            pass
        return answer


@contextmanager
def connection(server: Server, timeout: float = 10.0) -> Iterator[socket.socket]:
    url = httpx.URL(server.root)
    with socket.create_connection((url.host, url.port or 80), timeout=timeout) as client:
        yield client


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answer)]


def memory(server: Server) -> int:
    """Bytes of RAM that the API process has at this moment."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096
