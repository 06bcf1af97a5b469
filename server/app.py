"""`create_app()`: routes, error handlers and the application's state, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Router

from server.errors import HANDLERS
from server.routes import chat, completions, models
from server.state import AppState

OPENAI_ROUTES = [*chat.routes, *completions.routes, *models.routes]
"""Served below `/v1`, and without it."""


def create_app(state: AppState, *, routes: Sequence[BaseRoute] = (), lifespan: Any = None) -> Starlette:
    """The ASGI application. `routes` are those beyond OpenAI's."""
    app = Starlette(
        routes=[Mount("/v1", Router(OPENAI_ROUTES, redirect_slashes=False)), *OPENAI_ROUTES, *routes],
        exception_handlers=dict(HANDLERS),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.paddock = state
    return app
