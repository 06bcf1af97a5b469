"""The service itself: HTTP and the engine, from loading until a signal or the engine's end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from backends.available_memory import available_bytes
from backends.base import LoadableBackend, ModelLoadError
from server.access.access import Access
from server.app import create_admin_app, create_app
from server.config import Settings
from server.errors import APIError
from server.hosting.catalog import ModelSpec, catalog, is_on_demand
from server.hosting.host import Host
from server.hosting.hosted_model import HostedModel
from server.hosting.memory import Budget
from server.hosting.opening import ahead, open_model
from server.hosting.policy import Limits
from server.http_server import HTTPServer
from server.serve import StartError
from server.shutdown import Signals, drain
from server.state import AppState
from server.tracing import TracingUnavailable, start_tracing

if TYPE_CHECKING:  # not imported unless requests are traced
    from server.spans import Spans

ADMIN_CONNECTIONS = 64

log = logging.getLogger("paddock")


async def run(
    settings: Settings,
    specs: Sequence[ModelSpec],
    launched: LoadableBackend | None,
    listener: socket.socket,
    url: str,
    access: Access,
    admin_listener: socket.socket | None,
) -> int:
    """Answer at `listener` while the models load that are to be there from the start, and from then on serve them all;
    the exit status.

    `launched`: the only model's backend, of a server that has no others and its file here. `admin_listener`: where
    metrics and the like are served instead. Raises StartError.
    """
    asyncio.get_running_loop().set_exception_handler(_log_stray_error)
    try:
        spans = start_tracing(settings.otlp_traces_endpoint)
    except TracingUnavailable as error:
        raise StartError(str(error)) from None
    host = _host(settings, specs, launched)
    state = _state(settings, host, access, spans, admin_apart=admin_listener is not None)
    server = _server(settings, state, access)
    signals = Signals()
    admin_serving = asyncio.create_task(_serve_admin(state, admin_listener, settings.write_timeout))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_load_first(host))
    try:
        await asyncio.wait((loading, serving, signals.first), return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            try:
                loading.result()
            except ModelLoadError as error:
                raise StartError(str(error)) from None
            log.info("ready: %s at %s", ", ".join(" = ".join(spec.names) for spec in specs), url)
            await asyncio.wait((serving, signals.first), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():  # which it never is by itself, unless it failed
            return 1
        delay = settings.drain_delay if host.started else 0.0
        await drain(state.drain, signals, delay=delay, patience=settings.drain_timeout)
        return 0
    finally:
        server.end()
        await serving
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await host.stop()
        admin_serving.cancel()
        await asyncio.gather(admin_serving, return_exceptions=True)
        if spans is not None:
            await asyncio.to_thread(spans.shutdown)


def _state(settings: Settings, host: Host, access: Access, spans: Spans | None, *, admin_apart: bool) -> AppState:
    return AppState(
        host=host,
        models_now=_catalog_reader(settings, host.limits.memory),
        limits=settings.limits(),
        keys=access.keys,
        admin_apart=admin_apart,
        cors_origins=settings.cors_origins,
        request_timeout=settings.timeout,
        log_prompts=settings.log_prompts,
        spans=spans,
    )


def _server(settings: Settings, state: AppState, access: Access) -> HTTPServer:
    return HTTPServer(
        create_app(state),
        max_connections=settings.max_connections,
        write_timeout=settings.write_timeout,
        tls=None if access.certificate is None else access.certificate.context,
    )


async def _serve_admin(state: AppState, listener: socket.socket | None, write_timeout: float) -> None:
    """At a port of its own, until cancelled."""
    if listener is None:
        return
    server = HTTPServer(create_admin_app(state), max_connections=ADMIN_CONNECTIONS, write_timeout=write_timeout)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.end()
        await serving


def _log_stray_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One that nobody waited for. asyncio's own words would quote it, and it may quote a prompt."""
    log.error("%s", context["message"], exc_info=context.get("exception"))


def _host(settings: Settings, specs: Sequence[ModelSpec], launched: LoadableBackend | None) -> Host:
    idle_after = None if settings.sleep_idle_seconds < 0 else settings.sleep_idle_seconds
    if not is_on_demand(settings):
        opener = open_model if launched is None else ahead(launched)
        only = HostedModel(specs[0], opener, max_queue=_max_queue(settings), at_start=True)
        return Host([only], limits=Limits(idle_after=idle_after))
    memory = available_bytes() if settings.models_memory is None else settings.models_memory << 20
    return Host(
        _several(settings, specs, memory),
        on_demand=True,
        autoload=settings.models_autoload,
        limits=Limits(settings.models_max, memory, idle_after),
    )


def _several(settings: Settings, specs: Sequence[ModelSpec], memory: int) -> list[HostedModel]:
    n_models = min(len(specs), settings.models_max or len(specs))
    budget = Budget(memory, n_models, binding=settings.models_memory is not None)
    max_queue = _max_queue(settings)
    return [HostedModel(spec, open_model, fitted=budget.fitted, max_queue=max_queue) for spec in specs]


def _catalog_reader(settings: Settings, memory: int | None) -> Callable[[], list[HostedModel]] | None:
    """For who wants to know what models there are now; None: there is one, for good."""
    return None if memory is None else lambda: _several(settings, catalog(settings), memory)


def _max_queue(settings: Settings) -> int | None:
    return None if settings.max_queue < 0 else settings.max_queue


async def _load_first(host: Host) -> None:
    """What is to be there from the start. Raises ModelLoadError, if nothing else is there."""
    if not host.on_demand:
        await host.load(host.models[0])
        return
    loads = [host.load(model) for model in host.models if model.spec.load_on_startup]
    for failure in await asyncio.gather(*loads, return_exceptions=True):
        if failure is not None and not isinstance(failure, (ModelLoadError, APIError)):
            raise failure
