"""llama-server's `GET /props`: the model and the defaults. They can't be changed: `POST /props` says so."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import Backend
from server.access.caller import caller_of
from server.access.gate import AdminOnly
from server.chat.dialect import Dialect
from server.chat.template import ChatTemplateError
from server.connection import unless_gone
from server.errors import APIError
from server.native.settings import request_settings
from server.schemas.native import NativeOptions
from server.schemas.native_response import GenerationDefaults, Modalities, Props
from server.state import AppState, state_of
from server.version import __version__


async def props(request: Request) -> Response:
    state = state_of(request)
    state.check_model(None, caller_of(request))
    backend = state.loaded()
    options = NativeOptions(n_predict=-1 if state.default_max_tokens is None else state.default_max_tokens)
    answer = await unless_gone(request, asyncio.to_thread(_props, state, backend, options), state.deadline())
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def change_props(request: Request) -> Response:
    raise APIError(
        "This server does not support changing global properties.",
        status=501,
        kind="not_supported_error",
        code="not_supported",
    )


def _props(state: AppState, backend: Backend, options: NativeOptions) -> Props:
    """Asking the chat template what it can take is not for the event loop."""
    model, info = backend.model, backend.tokenizer.info
    params = request_settings(options, model.sampling_defaults, model.drafters)
    dialect = None if state.chat_template is None else state.dialect()
    return Props(
        default_generation_settings=GenerationDefaults(params, model.n_ctx),
        total_slots=model.n_parallel,
        model_alias=state.model_names[0],
        model_path=model.path,
        model_description=model.description,
        modalities=Modalities(),
        bos_token=_text(info.pieces, info.bos),
        eos_token=_text(info.pieces, info.eos),
        build_info=f"paddock-{__version__} ({model.engine})",
        chat_template="" if dialect is None else dialect.template.source,
        chat_template_caps={} if dialect is None else _abilities(dialect),
        chat_format=None if dialect is None else dialect.own_format.format.name,
    )


def _abilities(dialect: Dialect) -> dict[str, bool]:
    try:
        return dialect.abilities()
    except ChatTemplateError:
        return {}


def _text(pieces: list[bytes], token: int | None) -> str:
    return "" if token is None else pieces[token].decode("utf-8", "replace")


routes = [Route("/props", props)]
admin_routes = [Route("/props", change_props, methods=["POST"], middleware=[Middleware(AdminOnly)])]
