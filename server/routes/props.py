"""llama-server's `GET /props`: the model and the defaults. They can't be changed: `POST /props` says so."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import Backend
from server.errors import APIError
from server.native.settings import request_settings
from server.schemas.native import NativeOptions
from server.state import AppState, state_of
from server.version import __version__


async def props(request: Request) -> Response:
    state = state_of(request)
    return Response(msgspec.json.encode(_props(state, state.loaded())), media_type="application/json")


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
        "chat_template": "" if state.chat_template is None else state.chat_template.source,
        "chat_template_caps": {},
        "bos_token": _text(info.pieces, info.bos),
        "eos_token": _text(info.pieces, info.eos),
        "build_info": f"paddock-{__version__} ({model.engine})",
        "is_sleeping": False,
    }


def _text(pieces: list[bytes], token: int | None) -> str:
    return "" if token is None else pieces[token].decode("utf-8", "replace")


routes = [Route("/props", props), Route("/props", change_props, methods=["POST"])]
