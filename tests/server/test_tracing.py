"""Spans of requests, as OpenTelemetry's own SDK has them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from backends.base import EngineUnavailable
from server.spans import Spans, exporting
from server.state import AppState
from server.tracing import TracingUnavailable, start_tracing
from tests.server.routes.client import call, chat, completion
from tests.server.scripted import ScriptedBackend, scripted_state

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(sampler: Sampler | None = None) -> tuple[AppState, ScriptedBackend, InMemorySpanExporter]:
    state, backend = scripted_state()
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    state.spans = Spans(provider)
    return state, backend, exporter


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_chat() -> None:
    state, backend, exporter = traced()
    backend.delay = backend.pace = 0.02
    began = time.time_ns()
    answer = await chat(state, max_tokens=4, temperature=0.5, top_p=0.9, top_k=7, seed=3, presence_penalty=0.25)
    ended = time.time_ns()
    spans = by_name(exporter)
    assert set(spans) == {"POST /v1/chat/completions", "queue", "prefill", "decode"}
    server = spans["POST /v1/chat/completions"]
    assert server.kind == SpanKind.SERVER and server.parent is None and server.status.status_code == StatusCode.UNSET
    found = attributes(server)
    assert 0.02 <= found.pop("gen_ai.server.time_to_first_token") < 5
    assert found == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "paddock.request_id": answer.headers["x-request-id"],
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "paddock",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.request.max_tokens": 4,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 7,
        "gen_ai.request.frequency_penalty": 0.0,
        "gen_ai.request.presence_penalty": 0.25,
        "gen_ai.request.seed": 3,
        "gen_ai.response.id": answer.json()["id"],
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 1,
    }
    queue, prefill, decode = spans["queue"], spans["prefill"], spans["decode"]
    for part in (queue, prefill, decode):
        assert part.parent == server.context and part.kind == SpanKind.INTERNAL
    slack = 5_000_000  # of the clocks against each other
    times = [began, server.start_time, queue.start_time, prefill.start_time, decode.start_time, server.end_time, ended]
    assert all(before <= after + slack for before, after in pairwise(times)), times
    assert queue.end_time == pytest.approx(prefill.start_time, abs=slack)
    assert prefill.end_time == pytest.approx(decode.start_time, abs=slack)
    assert duration(prefill) >= 0.015 and duration(decode) >= 0.055
    assert attributes(prefill)["gen_ai.usage.input_tokens"] == 9
    assert attributes(decode)["gen_ai.usage.output_tokens"] == 4


def duration(span: ReadableSpan) -> float:
    assert span.start_time is not None and span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


async def test_the_clients_trace_goes_on() -> None:
    state, _, exporter = traced()
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
    await call(state, "POST", "/v1/completions", json={"model": "m", "prompt": "a"}, headers=headers)
    server = by_name(exporter)["POST /v1/completions"]
    assert server.parent is not None and format_span_id(server.parent.span_id) == PARENT
    assert server.context.trace_state.get("vendor") == "1"
    for span in exporter.get_finished_spans():
        assert format_trace_id(span.context.trace_id) == TRACE


@pytest.mark.parametrize("bad", ["", "00", f"00-{TRACE}-{PARENT}", f"00-{'0' * 32}-{PARENT}-01", "x" * 5000, "\x85"])
async def test_a_traceparent_that_is_none_begins_a_new_trace(bad: str) -> None:
    state, _, exporter = traced()
    answer = await call(state, "GET", "/v1/models", headers={"traceparent": bad.encode("latin-1")})
    assert answer.status_code == 200
    (span,) = exporter.get_finished_spans()
    assert span.parent is None and format_trace_id(span.context.trace_id) != TRACE


async def test_a_client_that_does_not_sample() -> None:
    state, _, exporter = traced()
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    await call(state, "POST", "/v1/completions", json={"model": "m", "prompt": "a"}, headers=headers)
    assert not exporter.get_finished_spans()


async def test_sampling() -> None:
    state, _, exporter = traced(ParentBased(ALWAYS_OFF))
    await chat(state)
    assert not exporter.get_finished_spans()


async def test_several_prompts_and_choices() -> None:
    state, _, exporter = traced()
    await completion(state, prompt=["ab", "cd"], n=2, max_tokens=2, stream=True)
    spans = exporter.get_finished_spans()
    assert sorted(span.name for span in spans) == [
        "POST /v1/completions", "decode", "decode", "prefill", "prefill", "queue", "queue",
    ]  # fmt: skip
    found = attributes(by_name(exporter)["POST /v1/completions"])
    assert found["gen_ai.operation.name"] == "text_completion"
    assert found["gen_ai.request.choice.count"] == 4
    assert found["gen_ai.response.finish_reasons"] == ("length",) * 4
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (6, 8)


async def test_errors() -> None:
    state, backend, exporter = traced()
    await chat(state, model="other")
    backend.fail_after, backend.failure = 2, EngineUnavailable("gone")
    await chat(state)
    await chat(state, stream=True)
    refused, failed, broken = (span for span in exporter.get_finished_spans() if span.kind == SpanKind.SERVER)
    assert attributes(refused)["error.type"] == "model_not_found"
    assert refused.status.status_code == StatusCode.UNSET  # the client's fault
    assert "gen_ai.request.model" not in attributes(refused)
    for span, status in ((failed, 503), (broken, 200)):
        assert span.status.status_code == StatusCode.ERROR
        assert attributes(span)["error.type"] == "unavailable"
        assert attributes(span)["http.response.status_code"] == status
        assert attributes(span)["gen_ai.usage.output_tokens"] == 2


async def test_a_request_that_never_came_to_its_first_token() -> None:
    state, backend, exporter = traced()
    backend.delay, state.request_timeout = 5, 0.1
    assert (await chat(state)).status_code == 504
    spans = by_name(exporter)
    assert set(spans) == {"POST /v1/chat/completions", "queue"}
    assert 0.05 < duration(spans["queue"]) < 4


async def test_who_watches_the_server_is_not_traced() -> None:
    state, _, exporter = traced()
    for path in ("/health", "/livez", "/metrics"):
        await call(state, "GET", path)
    assert not exporter.get_finished_spans()
    await call(state, "GET", "/v1/models/m")
    await call(state, "GET", "/nowhere/special")
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /v1/models/{model:path}", "GET unmatched"]


async def test_no_prompt_in_a_span() -> None:
    state, backend, exporter = traced()
    state.log_prompts = True
    await chat(state, messages=[{"role": "user", "content": "xyzzy"}], stop="xyzzy")
    backend.fail_after, backend.failure = 0, RuntimeError("xyzzy")
    await completion(state, prompt="xyzzy")
    spans = exporter.get_finished_spans()
    assert len(spans) > 4 and not any("xyzzy" in span.to_json() for span in spans)


# --- whether there are any ---


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_no_traces(environment: dict[str, str]) -> None:
    assert start_tracing(None, environment) is None


@pytest.mark.parametrize(
    ("endpoint", "environment"),
    [
        ("http://127.0.0.1:9/v1/traces", {}),
        ("http://127.0.0.1:9/v1/traces", {"OTEL_SDK_DISABLED": "true"}),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/x"}),
        (None, {"OTEL_TRACES_EXPORTER": "otlp"}),
    ],
)
def test_traces(endpoint: str | None, environment: dict[str, str]) -> None:
    spans = start_tracing(endpoint, environment)
    assert spans is not None
    spans.shutdown()


def test_without_opentelemetry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delitem(sys.modules, "server.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(TracingUnavailable, match=re.escape("pip install 'paddock[otel]'")):
        start_tracing("http://127.0.0.1:9/v1/traces", {})
    assert start_tracing(None, {"OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert "no traces: OpenTelemetry is not installed" in caplog.text


def test_the_services_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)

    def name() -> object:
        provider = exporting("http://127.0.0.1:9/v1/traces")
        provider.shutdown()
        return provider.resource.attributes["service.name"]

    assert name() == "paddock"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=from-attributes,deployment.environment=test")
    assert name() == "from-attributes"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-name")
    assert name() == "from-name"


def test_nothing_is_imported_unless_asked_for() -> None:
    program = (
        "import sys, server.service\n"
        "from server.tracing import start_tracing\n"
        "assert start_tracing(None, {}) is None\n"
        "found = [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
