"""`paddock serve`: listen at once, start the engine, and serve until a signal ends it in good order.

Imports little, so that the engine can load the model while this process imports the rest.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys

import uvloop

from backends.llama_cpp.client import LlamaCppBackend
from server.config import Settings
from server.model_source import ModelNotFound, find_model

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
    # As Ctrl-C does it: an end in good order, until the event loop heeds signals itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Before the model is loaded: a taken port is known at once, and probes get their 503 while it loads.
    with _listen(settings.host, settings.port) as listener:
        url = _url(listener)
        log.info("listening at %s, loading %s", url, path.name)
        backend = LlamaCppBackend(settings.engine_options(str(path)))
        backend.launch()
        from server.service import run  # HTTP, the wire format, templates: nearly half a second

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(settings, path, backend, listener, url))


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
