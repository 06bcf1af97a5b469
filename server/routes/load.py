"""llama-server's `POST /models/load` and `POST /models/unload`: what else requests and the least recent use decide."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.access.gate import AdminOnly
from server.body import read_body
from server.errors import invalid
from server.hosting.hosted_model import HostedModel
from server.schemas.models import Success
from server.schemas.native import ModelRequest
from server.state import state_of


async def load_model(request: Request) -> Response:
    """Begin to load a model, making room for it: `GET /v1/models` tells when it is loaded, or why it can't be."""
    state = state_of(request)
    model = await _named(request)
    if model.state != "unloaded":
        raise invalid(f"The model '{model.name}' is already loaded, or on its way.", "model", "model_running")
    state.host.begin_loading(model)
    return _success()


async def unload_model(request: Request) -> Response:
    """Unload a model. Requests that run on it have some seconds to end; the answer comes when it is gone."""
    state = state_of(request)
    model = await _named(request)
    if model.status not in ("loading", "loaded"):
        raise invalid(f"The model '{model.name}' is not loaded.", "model", "model_not_loaded")
    await asyncio.shield(state.host.unload(model))  # whoever asks for it may go away meanwhile
    return _success()


async def _named(request: Request) -> HostedModel:
    state = state_of(request)
    body = await read_body(ModelRequest, request, state.limits)
    return state.resolve(body.model, request).model


def _success() -> Response:
    return Response(msgspec.json.encode(Success()), media_type="application/json")


admin_routes = [
    Route("/models/load", load_model, methods=["POST"], middleware=[Middleware(AdminOnly)]),
    Route("/models/unload", unload_model, methods=["POST"], middleware=[Middleware(AdminOnly)]),
]
