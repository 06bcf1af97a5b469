"""The service itself: HTTP and the engine, from loading until a signal or the engine's end."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from pathlib import Path
from typing import Any

import msgspec

from backends.base import ModelLoadError
from backends.llama_cpp.client import LlamaCppBackend
from server.access.access import Access
from server.app import create_admin_app, create_app
from server.chat.builtin import load as load_chat_template
from server.config import Settings
from server.http_server import HTTPServer
from server.model_source import model_names
from server.progress import LoadingBar
from server.serve import StartError
from server.shutdown import Signals, drain
from server.state import AppState
from server.tracing import TracingUnavailable, start_tracing

ADMIN_CONNECTIONS = 64

log = logging.getLogger("paddock")


async def run(
    settings: Settings,
    path: Path,
    backend: LlamaCppBackend,
    listener: socket.socket,
    url: str,
    access: Access,
    admin_listener: socket.socket | None,
) -> int:
    """Answer at `listener` while `backend`, which is launched, loads, and from then on serve it; the exit status.

    `admin_listener`: where metrics and the like are served instead. Raises StartError.
    """
    asyncio.get_running_loop().set_exception_handler(_log_stray_error)
    try:
        spans = start_tracing(settings.otlp_traces_endpoint)
    except TracingUnavailable as error:
        raise StartError(str(error)) from None
    state = AppState(
        model_names=model_names(path, settings.alias),
        limits=settings.limits(),
        keys=access.keys,
        admin_apart=admin_listener is not None,
        cors_origins=settings.cors_origins,
        request_timeout=settings.timeout,
        default_max_tokens=None if settings.n_predict < 0 else settings.n_predict,
        max_queue=None if settings.max_queue < 0 else settings.max_queue,
        log_prompts=settings.log_prompts,
        spans=spans,
    )
    server = HTTPServer(
        create_app(state),
        max_connections=settings.max_connections,
        write_timeout=settings.write_timeout,
        tls=None if access.certificate is None else access.certificate.context,
    )
    signals = Signals()
    admin_serving = asyncio.create_task(_serve_admin(state, admin_listener, settings.write_timeout))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_load(backend, settings, state, path))
    try:
        await asyncio.wait((loading, serving, signals.first), return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            try:
                loading.result()
            except ModelLoadError as error:
                raise StartError(str(error)) from None
            log.info("ready: %s at %s", " = ".join(state.model_names), url)
            await asyncio.wait((serving, signals.first), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():  # which it never is by itself, unless it failed
            return 1
        delay = settings.drain_delay if state.backend is not None else 0.0
        await drain(state.drain, signals, delay=delay, patience=settings.drain_timeout)
        return 0
    finally:
        server.end()
        await serving
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await backend.stop()
        admin_serving.cancel()
        await asyncio.gather(admin_serving, return_exceptions=True)
        if spans is not None:
            await asyncio.to_thread(spans.shutdown)


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


async def _load(backend: LlamaCppBackend, settings: Settings, state: AppState, path: Path) -> None:
    bar = LoadingBar(path.name)
    try:
        await backend.start(bar)
    finally:
        bar.close()
    for note in backend.model.notes:
        log.info("%s", note)
    defaults = settings.sampling_defaults(backend.model.sampling_defaults)
    backend.model = msgspec.structs.replace(backend.model, sampling_defaults=defaults)
    template = settings.chat_template_file or settings.chat_template
    try:
        state.chat_template = load_chat_template(template, backend.model.chat_template, backend.tokenizer.info)
    except ValueError as error:
        raise StartError(str(error)) from None
    state.backend = backend
    gc.freeze()  # what is here now stays: looking through it for garbage would stop all streams for 20 ms
