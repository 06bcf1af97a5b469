"""llama-server's `GET /props`: the model and the defaults. They can't be changed: `POST /props` says so."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import Backend
from server.chat.template import ChatTemplateError
from server.connection import unless_gone
from server.errors import APIError
from server.native.settings import request_settings
from server.schemas.native import NativeOptions
from server.state import AppState, state_of
from server.version import __version__


async def props(request: Request) -> Response:
    state = state_of(request)
    backend = state.loaded()
    chat = await unless_gone(request, asyncio.to_thread(_chat, state), state.deadline())
    return Response(msgspec.json.encode(_props(state, backend) | chat), media_type="application/json")


async def change_props(request: Request) -> Response:
    raise APIError(
        "This server does not support changing global properties.",
        status=501,
        kind="not_supported_error",
        code="not_supported",
    )


def _props(state: AppState, backend: Backend) -> dict[str, Any]:
    model, info = backend.model, backend.tokenizer.info
    defaults = NativeOptions(n_predict=-1 if state.default_max_tokens is None else state.default_max_tokens)
    return {
        "default_generation_settings": {
            "params": request_settings(defaults, model.sampling_defaults, model.drafters),
            "n_ctx": model.n_ctx,
        },
        "total_slots": model.n_parallel,
        "model_alias": state.model_names[0],
        "model_path": model.path,
        "model_description": model.description,
        "modalities": {"vision": False, "video": False, "audio": False},
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "bos_token": _text(info.pieces, info.bos),
        "eos_token": _text(info.pieces, info.eos),
        "build_info": f"paddock-{__version__} ({model.engine})",
        "is_sleeping": False,
    }


def _chat(state: AppState) -> dict[str, Any]:
    """What is known of the chat template. Asking it what it can take is not for the event loop."""
    if state.chat_template is None:
        return {"chat_template": "", "chat_template_caps": {}, "chat_format": None}
    dialect = state.dialect()
    try:
        caps = dialect.abilities()
    except ChatTemplateError:
        caps = {}
    return {
        "chat_template": state.chat_template.source,
        "chat_template_caps": caps,
        "chat_format": dialect.own_format.format.name,
    }


def _text(pieces: list[bytes], token: int | None) -> str:
    return "" if token is None else pieces[token].decode("utf-8", "replace")


routes = [Route("/props", props), Route("/props", change_props, methods=["POST"])]
