"""The service itself: HTTP and the engine, from loading until a signal or the engine's end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn

from backends.base import ModelLoadError
from backends.llama_cpp.client import LlamaCppBackend
from server.app import create_app
from server.chat.builtin import load as load_chat_template
from server.config import Settings
from server.model_source import model_names
from server.progress import LoadingBar
from server.serve import StartError
from server.state import AppState

GRACE_SECONDS = 10
"""What running requests get to finish in, once the server has been told to stop."""
KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep idle connections (60 s as a rule): so they close them, not we under a request."""

log = logging.getLogger("paddock")


async def run(settings: Settings, path: Path, backend: LlamaCppBackend, listener: socket.socket, url: str) -> int:
    """Answer at `listener` while `backend`, which is launched, loads, and from then on serve it; the exit status.

    Raises StartError.
    """
    state = AppState(
        model_names=model_names(path, settings.alias),
        max_body_bytes=settings.max_body_size,
        request_timeout=settings.timeout,
        default_max_tokens=None if settings.n_predict < 0 else settings.n_predict,
    )
    config = uvicorn.Config(
        create_app(state),
        http="httptools",
        log_config=None,
        access_log=settings.log_level == "debug",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    server.heed_signals()
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
        server.end()
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
    gc.freeze()  # what is here now stays: looking through it for garbage would stop all streams for 20 ms


async def _until_over(serving: asyncio.Task[None], backend: LlamaCppBackend) -> int:
    """Wait for the end of the server, or of its engine: then what watches this process should start it anew."""
    died = asyncio.create_task(backend.died.wait())
    await asyncio.wait((serving, died), return_when=asyncio.FIRST_COMPLETED)
    died.cancel()
    if serving.done():
        return 0
    raise StartError("the engine process has ended; giving up")


class _Server(uvicorn.Server):
    """uvicorn's server, but SIGINT and SIGTERM are an order that is carried out, not a failure to be raised again.

    And one that is woken to end. uvicorn's own looks ten times a second: each look costs the decode step that it
    interrupts 0.1 ms, as it finds nothing of what it needs in the processor's caches.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Shut down in good order."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # once a second, for the date that answers bear
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ending.wait()

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
        self.end()
        if self.server_state.tasks:
            log.info(
                "stopping; running requests have %d s to finish (the same signal again ends them now)", GRACE_SECONDS
            )
