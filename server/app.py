"""`create_app()`: routes, error handlers and the application's state, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, Router

from server.access.gate import Gate
from server.draining import Draining
from server.errors import HANDLERS
from server.hosting.in_use import InUse
from server.observed_app import ObservedApp
from server.routes import (
    apply_template,
    chat,
    completions,
    health,
    load,
    lora,
    metrics,
    models,
    native_completion,
    openapi,
    props,
    slots,
    tokenize,
)
from server.state import AppState

OPENAI_ROUTES = [*chat.routes, *completions.routes, *models.routes]
"""Served below `/v1`, and without it."""
LLAMA_SERVER_ROUTES = [
    *health.routes,
    *native_completion.routes,
    *tokenize.routes,
    *apply_template.routes,
    *props.routes,
    *lora.routes,
    *openapi.routes,
]
"""llama-server's paths."""
ADMIN_ROUTES = [*metrics.admin_routes, *slots.admin_routes, *props.admin_routes, *load.admin_routes, *lora.admin_routes]
"""For those who run the server."""
READABLE_HEADERS = (
    "x-request-id",
    "openai-processing-ms",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")),
)
"""For scripts of other sites."""


def create_app(state: AppState, *, routes: Sequence[BaseRoute] = (), lifespan: Any = None) -> Starlette:
    """The ASGI application. `routes` are further ones."""
    below_v1 = Mount("/v1", Router(OPENAI_ROUTES, redirect_slashes=False))
    admin = [] if state.admin_apart else ADMIN_ROUTES
    middleware = [Middleware(CORSMiddleware, **_cors(state.cors_origins))] if state.cors_origins else []
    middleware.append(Middleware(Draining, drain=state.drain))
    if state.keys is not None:
        probes = {route.path for route in health.routes}
        middleware.append(Middleware(Gate, keys=state.keys, open_paths=probes))
    return _application(
        state, [*LLAMA_SERVER_ROUTES, *admin, below_v1, *OPENAI_ROUTES, *routes], middleware, lifespan=lifespan
    )


def create_admin_app(state: AppState) -> Starlette:
    """The application of the admin port, where nobody is asked for a key: metrics and the like, and probes."""
    return _application(state, [*ADMIN_ROUTES, *models.admin_port_routes, *health.routes], [])


def _cors(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "allow_origins": origins,
        "allow_methods": ["GET", "POST"],
        "allow_headers": ["*"],
        "expose_headers": READABLE_HEADERS,
    }


def _application(
    state: AppState, routes: Sequence[BaseRoute], middleware: Sequence[Middleware], lifespan: Any = None
) -> Starlette:
    middleware = [*middleware, Middleware(InUse)]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=dict(HANDLERS), lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.paddock = state
    # around Starlette's own answer to unexpected errors too
    app.middleware_stack = ObservedApp(
        app.build_middleware_stack(), state.metrics, log_prompts=state.log_prompts, spans=state.spans
    )
    return app
