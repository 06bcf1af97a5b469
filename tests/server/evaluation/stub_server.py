"""A server with OpenAI's API that answers as it is told, to see what is asked of it, and how often."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = dict[str, Any]
Reply = tuple[int, JSON, dict[str, str]]
"""Status, body, headers."""


class StubServer:
    """`requests` has path, headers and body of each POST."""

    def __init__(self, reply: Callable[[str, JSON, int], Reply]) -> None:
        """`reply` gets a request's path, its body, and how many there were before it."""
        self.requests: list[tuple[str, dict[str, str], JSON]] = []
        self.most_at_once = 0
        self._now = 0
        self._reply = reply
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._send(*stub._answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body))

            def do_GET(self) -> None:
                self._send(200, {"data": [{"id": "stub"}]}, {})

            def _send(self, status: int, body: JSON, headers: dict[str, str]) -> None:
                data = json.dumps(body).encode()
                with suppress(ConnectionError):  # the client has gone away
                    self.send_response(status)
                    for name, value in {**headers, "content-length": str(len(data))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def _answer(self, path: str, headers: dict[str, str], body: JSON) -> Reply:
        with self._lock:
            before = len(self.requests)
            self.requests.append((path, headers, body))
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        reply = self._reply(path, body, before)
        with self._lock:
            self._now -= 1
        return reply

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def stub_server(reply: Callable[[str, JSON, int], Reply]) -> Iterator[StubServer]:
    server = StubServer(reply)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def chat(text: str | None) -> Reply:
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}, {}


def error(status: int, message: str, **headers: str) -> Reply:
    return status, {"error": {"message": message}}, headers
