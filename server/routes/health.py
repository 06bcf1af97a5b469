"""`GET /health`: whether a request would be run now (readiness). `GET /livez`: whether this process answers at all."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.state import state_of


async def health(request: Request) -> Response:
    """A 503 with Retry-After while the model loads, and when its engine is gone."""
    state_of(request).loaded()
    return JSONResponse({"status": "ok"})


async def livez(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


routes = [Route("/health", health), Route("/v1/health", health), Route("/livez", livez)]
