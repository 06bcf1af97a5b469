"""llama-server's `GET /props`: the model and the defaults. They can't be changed: `POST /props` says so."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.access.gate import AdminOnly
from server.chat.dialect import Dialect
from server.chat.template import ChatTemplateError
from server.connection import unless_gone
from server.errors import APIError
from server.hosting.hosted_model import HostedModel
from server.native.settings import request_settings
from server.schemas.native import NativeOptions
from server.schemas.native_response import GenerationDefaults, ManyProps, Modalities, Props
from server.state import AppState, state_of
from server.version import __version__

_BUILD = f"paddock-{__version__}"


async def props(request: Request) -> Response:
    """Asking does not wake a model that sleeps. One that was never loaded is, if it is named."""
    state = state_of(request)
    name = request.query_params.get("model")
    if name is None and state.host.on_demand:
        return _json(_of_all(state))
    served, deadline = state.resolve(name, request), state.deadline()
    if served.model.known is None:
        await unless_gone(request, state.backend(request, served), deadline)
    return _json(await unless_gone(request, asyncio.to_thread(_props, served.model), deadline))


async def change_props(request: Request) -> Response:
    raise APIError(
        "This server does not support changing global properties.",
        status=501,
        kind="not_supported_error",
        code="not_supported",
    )


def _props(hosted: HostedModel) -> Props:
    """Asking the chat template what it can take is not for the event loop."""
    known = hosted.known
    assert known is not None
    limit = hosted.default_max_tokens
    model = known.info
    params = request_settings(
        NativeOptions(n_predict=-1 if limit is None else limit), model.sampling_defaults, model.drafters
    )
    dialect = known.dialect
    return Props(
        default_generation_settings=GenerationDefaults(params, model.n_ctx),
        total_slots=model.n_parallel,
        model_alias=hosted.name,
        model_path=model.path,
        model_description=model.description,
        modalities=Modalities(),
        bos_token=known.bos,
        eos_token=known.eos,
        build_info=f"{_BUILD} ({model.engine})",
        is_sleeping=hosted.status == "sleeping",
        chat_template="" if dialect is None else dialect.template.source,
        chat_template_caps={} if dialect is None else _abilities(dialect),
        chat_format=None if dialect is None else dialect.own_format.format.name,
    )


def _of_all(state: AppState) -> ManyProps:
    return ManyProps(
        max_instances=state.host.limits.max_loaded,
        models_autoload=state.host.autoload,
        default_generation_settings=GenerationDefaults({}, 0),
        build_info=_BUILD,
    )


def _abilities(dialect: Dialect) -> dict[str, bool]:
    try:
        return dialect.abilities()
    except ChatTemplateError:
        return {}


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


routes = [Route("/props", props)]
admin_routes = [Route("/props", change_props, methods=["POST"], middleware=[Middleware(AdminOnly)])]
