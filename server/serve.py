"""`paddock serve`: listen at once, start the engine, and serve until a signal ends it in good order.

Imports little, so that the engine can load the model while this process imports the rest.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import sys
from contextlib import AbstractContextManager, nullcontext
from ipaddress import ip_address

import uvloop

from backends.backend_of import backend_of
from server.access.access import Access
from server.access.key_file import KeyFileError
from server.access.tls import CertificateError
from server.config import Settings
from server.hosting.catalog import CatalogError, catalog, is_on_demand
from server.log_format import formatter

log = logging.getLogger("paddock")

OTHER_FILES = 128
"""Open files that aren't clients' connections, at most."""
MOST_FILES = 65_536
"""What is asked for where there is no reason for less."""
VANISHED_SECONDS = 60
"""How long a client is silent before it is asked whether it is still there, and how long it has for its answer."""


class StartError(Exception):
    """The server can't start; the message is one line."""


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. Raises StartError."""
    _set_up_logging(settings)
    _allow_files(settings.max_connections + OTHER_FILES)
    try:
        specs = catalog(settings)
    except CatalogError as error:
        raise StartError(str(error)) from None
    try:
        access = Access.of(settings)
    except (KeyFileError, CertificateError) as error:
        raise StartError(str(error)) from None
    # Before the model is loaded: a taken port is known at once, and probes get their 503 while it loads.
    with _listen(settings.host, settings.port) as listener, _listen_apart(settings) as admin_listener:
        url = _url(listener, "http" if access.certificate is None else "https")
        backend = None
        if is_on_demand(settings):
            log.info("listening at %s", url)
        else:
            log.info("listening at %s, loading %s", url, specs[0].hub or specs[0].path.name)
            if specs[0].hub is None:
                backend = backend_of(specs[0].engine_options())
                backend.launch()
        _warn(listener, admin_listener, access)
        from server.service import run  # HTTP, the wire format, templates: nearly half a second

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(settings, specs, backend, listener, url, access, admin_listener))


def _listen_apart(settings: Settings) -> AbstractContextManager[socket.socket | None]:
    """At the admin port, if there is one."""
    if settings.admin_port is None:
        return nullcontext()
    listener = _listen(settings.admin_host, settings.admin_port, "--admin-port")
    log.info("/metrics and /slots at %s", _url(listener, "http").removesuffix("/v1"))
    return listener


def _warn(listener: socket.socket, admin_listener: socket.socket | None, access: Access) -> None:
    """Of what an operator may not have meant."""
    host, port = listener.getsockname()[:2]
    if access.keys is None and not ip_address(host).is_loopback:
        log.warning(
            "whoever reaches %s:%d may use this server: it asks for no key (--api-key, --api-key-file)", host, port
        )
    if access.keys is not None and admin_listener is None and not access.keys.has_admin:
        log.info("nobody may read /metrics and /slots: no key is an admin key (--admin-key, --admin-port)")


def _listen(host: str, port: int, flag: str = "--port") -> socket.socket:
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
    _notice_the_vanished(listener)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen at {host}:{port}: {error.strerror} ({flag} takes another)") from None
    return listener


def _notice_the_vanished(listener: socket.socket) -> None:
    """Connections, which take this over from their listener, end if the client's machine is gone without a word."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, VANISHED_SECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, VANISHED_SECONDS // 4)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _allow_files(wanted: int) -> None:
    """Let this process open so many files, and as many more as it may: connections that are slow with TLS's handshake
    are no connections yet for whoever counts them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says infinity, and refuses more than it has
    allowed = wanted if hard == resource.RLIM_INFINITY else min(max(wanted, MOST_FILES), hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted:
        log.warning("this process may open %d files: too few for --max-connections, which needs %d", allowed, wanted)


def _url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/v1" if ":" in host else f"{scheme}://{host}:{port}/v1"


def _set_up_logging(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(settings.log_format, prompts=settings.log_prompts))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    if settings.log_level != "debug":
        # uvicorn says "started" and "shutting down" in many lines; the lines above say it in one.
        logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level.upper())))
    for chatty in ("asyncio", "httpcore", "httpcore2", "httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
