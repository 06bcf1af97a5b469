"""What a running server shows of its requests: the ids that clients see, lines of its log, traces as a collector gets
them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .serving import DEMO, Server, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MESSAGES: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.batches: list[ExportTraceServiceRequest] = []

    def spans(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Spans by name, each with its attributes; the latest of a name."""
        found = {}
        for batch in list(self.batches):
            for resource in batch.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        found[span.name] = (span, {a.key: _value(a.value) for a in span.attributes})
        return found


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(part) for part in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.batches.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        collector = Collector(f"http://127.0.0.1:{listener.server_port}/v1/traces")
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield collector
        listener.shutdown()


def lines(server: Server) -> list[dict[str, Any]]:
    """Its log, which must be JSON to the last line."""
    return [json.loads(line) for line in list(server.log)]


def line_of(server: Server, request_id: str) -> dict[str, Any]:
    for _ in range(100):
        for line in lines(server):
            if line.get("request_id") == request_id and line["logger"] == "paddock.requests":
                return line
        time.sleep(0.05)
    raise AssertionError(f"no line for {request_id}")


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Server, Collector]]:
    with pytest.MonkeyPatch.context() as patch, collecting() as collector:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with serving("--log-format", "json", "--otlp-traces-endpoint", collector.url) as server:
            yield server, collector


def test_the_id_that_openais_client_shows_is_the_logs(watched: tuple[Server, Collector]) -> None:
    server, _ = watched
    answer = server.client().chat.completions.create(model=DEMO, messages=MESSAGES, temperature=0)
    assert answer._request_id is not None and answer.usage is not None
    line = line_of(server, answer._request_id)
    assert line["message"] == "POST /v1/chat/completions 200" and line["level"] == "info"
    assert (line["model"], line["client"]) == (DEMO, "127.0.0.1")
    assert line["prompt_tokens"] == answer.usage.prompt_tokens
    assert line["completion_tokens"] == answer.usage.completion_tokens
    assert line["finish_reason"] == ["stop"]
    assert 0 <= line["queue_ms"] <= line["first_token_ms"] <= line["total_ms"]
    assert not any("France" in text for text in server.log)


def test_a_stream_that_its_client_leaves(watched: tuple[Server, Collector]) -> None:
    server, _ = watched
    body = {"model": DEMO, "prompt": "a", "stream": True, "ignore_eos": True, "max_tokens": 2000}
    headers = {"x-request-id": "left-early"}
    with httpx.stream("POST", f"{server.url}/completions", json=body, headers=headers, timeout=60) as answer:
        assert answer.headers["x-request-id"] == "left-early"
        next(answer.iter_lines())
    line = line_of(server, "left-early")
    assert line["client_gone"] is True and line["status"] == 200
    assert 0 < line["completion_tokens"] < 2000


def test_errors_have_ids_too(watched: tuple[Server, Collector]) -> None:
    server, _ = watched
    answer = server.post("/v1/chat/completions", {"model": "no-such-model", "messages": MESSAGES})
    line = line_of(server, answer.headers["x-request-id"])
    assert (line["status"], line["error"]) == (404, "model_not_found")


def test_spans_reach_a_collector(watched: tuple[Server, Collector]) -> None:
    server, collector = watched
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "traced"}
    body = {"model": DEMO, "messages": MESSAGES, "max_tokens": 5, "temperature": 0, "stream": True}
    began = time.time_ns()
    httpx.post(f"{server.url}/chat/completions", json=body, headers=headers, timeout=60)
    assert line_of(server, "traced")["trace_id"] == TRACE
    for _ in range(100):
        spans = collector.spans()
        if "POST /v1/chat/completions" in spans and spans["POST /v1/chat/completions"][0].trace_id.hex() == TRACE:
            break
        time.sleep(0.05)
    whole, attributes = spans["POST /v1/chat/completions"]
    assert whole.parent_span_id.hex() == PARENT
    assert attributes["paddock.request_id"] == "traced"
    assert attributes["gen_ai.operation.name"] == "chat" and attributes["gen_ai.request.model"] == DEMO
    assert attributes["gen_ai.usage.output_tokens"] == 5 and attributes["gen_ai.response.finish_reasons"] == ["length"]
    queue, prefill, decode = (spans[name][0] for name in ("queue", "prefill", "decode"))
    assert all(
        part.trace_id.hex() == TRACE and part.parent_span_id == whole.span_id for part in (queue, prefill, decode)
    )
    assert began <= whole.start_time_unix_nano <= queue.start_time_unix_nano <= prefill.start_time_unix_nano
    assert prefill.end_time_unix_nano <= decode.end_time_unix_nano <= whole.end_time_unix_nano <= time.time_ns()
    resource = {a.key: _value(a.value) for a in collector.batches[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "paddock" and re.match(r"\d+\.\d+", resource["service.version"])


def test_a_collector_that_is_gone_is_no_harm() -> None:
    with serving("--otlp-traces-endpoint", "http://127.0.0.1:9/v1/traces") as server:
        answer = server.post("/v1/completions", {"model": DEMO, "prompt": "a", "max_tokens": 2})
        assert answer.status_code == 200
