"""`GET /health`: whether to send requests here (readiness). `GET /livez`: whether this process answers at all."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.errors import unavailable
from server.schemas.native_response import Health
from server.state import state_of


async def health(request: Request) -> Response:
    """A 503 with Retry-After while the server starts, its only model's engine is restarted (or its tokenizer, if that
    takes long), or the server has been told to end. Models that are loaded when they are needed have no say."""
    state = state_of(request)
    if state.drain.begun:
        raise unavailable("The server is shutting down.")
    if not state.host.started:
        raise unavailable("The model is still loading.")
    if not state.host.ready:
        raise unavailable("The engine is restarting.")
    return _ok()


async def livez(request: Request) -> Response:
    return _ok()


def _ok() -> Response:
    return Response(msgspec.json.encode(Health()), media_type="application/json")


routes = [Route("/health", health), Route("/v1/health", health), Route("/livez", livez)]
