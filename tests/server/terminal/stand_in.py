"""A server that says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    """Answers each POST to /v1 with the next of `replies`: a status with a body, or the bytes of a stream in parts."""

    url: str = ""
    replies: list[tuple[int, Any] | list[bytes]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    props: dict[str, Any] | None = None

    def say(self, *parts: str | bytes, finish: str | None = "stop") -> None:
        """Stream a chat answer of these pieces of content; bytes are sent as they are."""
        ends = [] if finish is None else [_event({"delta": {}, "finish_reason": finish}), b"data: [DONE]\n\n"]
        said = [part if isinstance(part, bytes) else _event({"delta": {"content": part}}) for part in parts]
        self.replies.append([*said, *ends])


def _event(choice: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n"


@contextmanager
def stand_in() -> Iterator[StandIn]:
    said = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._answer(200, {"data": [{"id": "first"}, {"id": "second"}]})
            elif self.path.startswith("/props") and said.props is not None:
                self._answer(200, said.props)
            else:
                self._answer(404, {"error": {"message": "nothing\nhere"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if not self.path.startswith("/v1"):
                self._answer(404, {})
                return
            said.asked.append(body | {"path": self.path, "key": self.headers.get("authorization")})
            reply = said.replies.pop(0)
            if isinstance(reply, tuple):
                self._answer(*reply)
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for part in reply:
                self.wfile.write(part)
                self.wfile.flush()

        def _answer(self, status: int, body: Any) -> None:
            encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        said.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield said
        server.shutdown()
