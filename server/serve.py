"""`paddock serve`: listen at once, load the model meanwhile, serve until a signal ends it in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn

from backends.base import ModelLoadError
from backends.llama_cpp.client import LlamaCppBackend
from server.app import create_app
from server.chat.builtin import load as load_chat_template
from server.config import Settings
from server.model_source import ModelNotFound, find_model, model_names
from server.progress import LoadingBar
from server.state import AppState

GRACE_SECONDS = 10
"""What running requests get to finish in, once the server has been told to stop."""
KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep idle connections (60 s as a rule): so they close them, not we under a request."""

log = logging.getLogger("paddock")


class StartError(Exception):
    """The server can't start; the message is one line."""


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. Raises StartError."""
    _set_up_logging(settings.log_level)
    try:
        path = find_model(settings.model)
    except ModelNotFound as error:
        raise StartError(str(error)) from None
    # Before the model is loaded: a taken port is known at once, and probes get their 503 while it loads.
    with _listen(settings.host, settings.port) as listener:
        return asyncio.run(_run(settings, path, listener))


async def _run(settings: Settings, path: Path, listener: socket.socket) -> int:
    state = AppState(
        model_names=model_names(path, settings.alias),
        max_body_bytes=settings.max_body_size,
        request_timeout=settings.timeout,
        default_max_tokens=None if settings.n_predict < 0 else settings.n_predict,
    )
    config = uvicorn.Config(
        create_app(state),
        log_config=None,
        access_log=settings.log_level == "debug",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    server.heed_signals()
    url = _url(listener)
    log.info("listening at %s, loading %s", url, path.name)
    backend = LlamaCppBackend(settings.engine_options(str(path)))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_load(backend, settings, state, path))
    try:
        await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            return 0
        try:
            await loading
        except ModelLoadError as error:
            raise StartError(str(error)) from None
        log.info("ready: %s at %s", " = ".join(state.model_names), url)
        return await _until_over(serving, backend)
    finally:
        server.should_exit = True
        await serving
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        if backend.ready:
            await backend.stop()


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


async def _until_over(serving: asyncio.Task[None], backend: LlamaCppBackend) -> int:
    """Wait for the end of the server, or of its engine: then what watches this process should start it anew."""
    died = asyncio.create_task(backend.died.wait())
    await asyncio.wait((serving, died), return_when=asyncio.FIRST_COMPLETED)
    died.cancel()
    if serving.done():
        return 0
    raise StartError("the engine process has ended; giving up")


class _Server(uvicorn.Server):
    """uvicorn's server, but SIGINT and SIGTERM are an order that is carried out, not a failure to be raised again."""

    def heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        if self.server_state.tasks:
            log.info(
                "stopping; running requests have %d s to finish (the same signal again ends them now)", GRACE_SECONDS
            )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"cannot listen at {host}: {error.strerror}") from None
    except UnicodeError:
        raise StartError(f"cannot listen at {host}: that is no host's name") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen at {host}:{port}: {error.strerror} (--port takes another)") from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", force=True
    )
    if level != "debug":
        # uvicorn says "started" and "shutting down" in many lines; the lines above say it in one.
        logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    for chatty in ("asyncio", "httpcore", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
