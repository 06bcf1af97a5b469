"""`GET /health`: whether to send requests here (readiness). `GET /livez`: whether this process answers at all."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.errors import unavailable
from server.state import state_of


async def health(request: Request) -> Response:
    """A 503 with Retry-After while the model loads, its engine is restarted, or the server has been told to end."""
    state = state_of(request)
    if state.drain.begun:
        raise unavailable("The server is shutting down.")
    if not state.loaded().ready:
        raise unavailable("The engine is restarting.")
    return JSONResponse({"status": "ok"})


async def livez(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


routes = [Route("/health", health), Route("/v1/health", health), Route("/livez", livez)]
