"""Requests as OpenTelemetry spans, by its semantic conventions for HTTP servers and for generative AI.

A request's span begins with it, so that its trace is known to the log; all else is told at its end, when it is known:
streaming costs nothing more. Spans hold no prompts and no answers.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from starlette.types import Scope

from server.draining import WATCHER_PATHS
from server.generation import Generation
from server.request_record import RequestRecord
from server.version import __version__

LAST_SECONDS = 2.0
"""What a collector gets to take the last spans in, when the server ends."""
_OPERATIONS = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/completion": "text_completion",
    "/infill": "text_completion",
}
"""GenAI operations by the paths that run them, without /v1."""
_Headers = list[tuple[bytes, bytes]]


class Spans:
    """Made from what a `RequestRecord` has come to know."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("paddock", __version__)

    def begin(self, record: RequestRecord, scope: Scope) -> None:
        """As a part of the client's own trace, if its `traceparent` names one. Who watches the server isn't traced."""
        if scope["path"] in WATCHER_PATHS:
            return
        parent = propagate.extract(scope["headers"], getter=_ASGI_HEADERS)
        span = self._tracer.start_span(scope["method"], parent, SpanKind.SERVER)
        record.span = span
        record.trace_id = format_trace_id(span.get_span_context().trace_id)

    def end(self, record: RequestRecord, scope: Scope, handler: str) -> None:
        span = record.span
        if span is None:
            return
        if span.is_recording():
            span.update_name(f"{scope['method']} {handler}")
            span.set_attributes(_http(record, scope, handler) | _gen_ai(record, handler))
            if record.status >= 500 or (record.error is not None and record.status < 400):
                span.set_status(Status(StatusCode.ERROR))
            within = set_span_in_context(span, Context())
            for generation in record.generations:
                self._parts(generation, within)
        span.end()

    def shutdown(self) -> None:
        """Send what is left, and end. Blocks for LAST_SECONDS at most: a collector that is gone is tried for longer."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(LAST_SECONDS)

    def _parts(self, generation: Generation, within: Context) -> None:
        """Spans of the engine's work on one prompt, and for how long it waited before."""
        timings, usage = generation.timings, generation.usage
        common = {"gen_ai.response.id": generation.request.id}
        if timings.prompt_ended is None:  # it never came to its first token
            self._part("queue", within, timings.started, time.monotonic(), common)
            return
        begun = min(timings.started + timings.queued, timings.prompt_ended)
        self._part("queue", within, timings.started, begun, common)
        prompt = {"gen_ai.usage.input_tokens": usage.prompt_tokens, **_cached(usage.cached_tokens)}
        self._part("prefill", within, begun, timings.prompt_ended, common | prompt)
        if timings.last_token is not None:
            tokens = {"gen_ai.usage.output_tokens": usage.completion_tokens}
            self._part("decode", within, timings.prompt_ended, timings.last_token, common | tokens)

    def _part(self, name: str, within: Context, start: float, end: float, attributes: dict[str, Any]) -> None:
        """`start` and `end` are times of the monotonic clock."""
        offset = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(name, within, attributes=attributes, start_time=round(start * 1e9) + offset)
        span.end(round(end * 1e9) + offset)


def exporting(endpoint: str | None) -> TracerProvider:
    """One that sends spans in batches, from a thread of its own. `endpoint`: None leaves it to the environment, which
    says everything else too: headers, sampling, batches, the service's name."""
    attributes = {"service.version": __version__}
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = "paddock"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider


def _http(record: RequestRecord, scope: Scope, handler: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "http.request.method": scope["method"],
        "http.route": handler,
        "http.response.status_code": record.status,
        "url.path": scope["path"],
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
        "paddock.request_id": record.id,
    }
    if scope.get("client"):
        attributes["client.address"] = scope["client"][0]
    if record.key is not None:
        attributes["paddock.key"] = record.key
    if record.client_gone:
        attributes["paddock.client_gone"] = True
    if record.error is not None or record.status >= 500:
        attributes["error.type"] = record.error or str(record.status)
    return attributes


def _gen_ai(record: RequestRecord, handler: str) -> dict[str, Any]:
    operation = _OPERATIONS.get(handler.removeprefix("/v1"))
    if operation is None:
        return {}
    attributes: dict[str, Any] = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "paddock"}
    if record.model is not None:
        attributes["gen_ai.request.model"] = attributes["gen_ai.response.model"] = record.model
    if not record.generations:
        return attributes
    first = record.generations[0]
    return (
        attributes
        | _request(first, len(record.generations))
        | {
            "gen_ai.response.id": record.response_id,
            "gen_ai.response.finish_reasons": record.finish_reasons,
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.completion_tokens,
            **_cached(record.cached_tokens),
            **_first_token(record.first_token_seconds),
        }
    )


def _request(generation: Generation, n_prompts: int) -> dict[str, Any]:
    request, sampling = generation.request, generation.request.sampling
    attributes: dict[str, Any] = {
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.top_k": sampling.top_k,
        "gen_ai.request.frequency_penalty": sampling.frequency_penalty,
        "gen_ai.request.presence_penalty": sampling.presence_penalty,
    }
    if sampling.seed is not None:
        attributes["gen_ai.request.seed"] = sampling.seed
    if request.n * n_prompts > 1:
        attributes["gen_ai.request.choice.count"] = request.n * n_prompts
    return attributes


def _cached(tokens: int) -> dict[str, int]:
    return {"gen_ai.usage.cache_read.input_tokens": tokens}


def _first_token(seconds: float | None) -> dict[str, float]:
    """Under the name of the conventions' metric: they have no attribute for it that a server could know."""
    return {} if seconds is None else {"gen_ai.server.time_to_first_token": seconds}


class _ASGIHeaders(Getter[_Headers]):
    """Reads a request's headers for whatever OTEL_PROPAGATORS says; W3C's by default."""

    def get(self, carrier: _Headers, key: str) -> list[str] | None:
        wanted = key.lower().encode()
        return [value.decode("latin-1") for name, value in carrier if name == wanted] or None

    def keys(self, carrier: _Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_ASGI_HEADERS = _ASGIHeaders()
