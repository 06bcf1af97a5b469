"""`create_app()`: routes, error handlers and the application's state, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Router

from server.errors import HANDLERS
from server.request_count import RequestCount
from server.routes import (
    apply_template,
    chat,
    completions,
    health,
    metrics,
    models,
    native_completion,
    props,
    slots,
    tokenize,
)
from server.state import AppState

OPENAI_ROUTES = [*chat.routes, *completions.routes, *models.routes]
"""Served below `/v1`, and without it."""
LLAMA_SERVER_ROUTES = [
    *health.routes,
    *metrics.routes,
    *native_completion.routes,
    *tokenize.routes,
    *apply_template.routes,
    *props.routes,
    *slots.routes,
]
"""llama-server's paths, and those that watch this server."""


def create_app(state: AppState, *, routes: Sequence[BaseRoute] = (), lifespan: Any = None) -> Starlette:
    """The ASGI application. `routes` are further ones."""
    below_v1 = Mount("/v1", Router(OPENAI_ROUTES, redirect_slashes=False))
    app = Starlette(
        routes=[*LLAMA_SERVER_ROUTES, below_v1, *OPENAI_ROUTES, *routes],
        middleware=[Middleware(RequestCount, metrics=state.metrics)],
        exception_handlers=dict(HANDLERS),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.paddock = state
    return app
