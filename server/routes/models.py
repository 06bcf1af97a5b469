"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import ModelInfo
from server.access.caller import Caller, caller_of
from server.errors import models_unreadable
from server.hosting.catalog import CatalogError
from server.hosting.hosted_model import HostedModel
from server.hosting.served import Served
from server.schemas.models import Model, ModelList, ModelMeta, ModelStatus
from server.state import AppState, state_of


async def list_models(request: Request) -> Response:
    """With `reload`, which takes an admin key where keys are asked for, the folder and the presets are read again. If
    none are, and there is an admin port, only there."""
    if not (state_of(request).admin_apart and state_of(request).keys is None):
        await _reload_if_asked(request)
    return _list(request)


async def list_models_for_admin(request: Request) -> Response:
    """The same at the admin port."""
    await _reload_if_asked(request)
    return _list(request)


async def _reload_if_asked(request: Request) -> None:
    state = state_of(request)
    if request.query_params.get("reload", "0").lower() in ("1", "true") and state.models_now is not None:
        caller_of(request).check_admin()
        await _reload(state, state.models_now)


def _list(request: Request) -> Response:
    state, caller = state_of(request), caller_of(request)
    allowed = {*state.host.names(caller)}
    return _json(
        ModelList(data=[_model(state, served, caller) for served in state.host.served() if served.name in allowed])
    )


async def get_model(request: Request) -> Response:
    state = state_of(request)
    return _json(_model(state, state.resolve(request.path_params["model"], request), caller_of(request)))


async def _reload(state: AppState, models_now: Callable[[], list[HostedModel]]) -> None:
    try:
        models = await asyncio.to_thread(models_now)
        await asyncio.shield(state.host.renew(models))  # whoever asks for it may go away meanwhile
    except CatalogError as error:
        raise models_unreadable(str(error)) from None


def _model(state: AppState, served: Served, caller: Caller) -> Model:
    model, adapter = served.model, served.adapter
    return Model(
        id=served.name,
        created=state.created,
        owned_by="paddock",
        aliases=[] if adapter else [name for name in caller.may_use(model.spec.names) if name != served.name],
        status=_status(model),
        root=UNSET if adapter is None else str(model.adapters.path(adapter)),
        parent=UNSET if adapter is None else model.name,
        meta=UNSET if model.known is None else _meta(model.known.info),
    )


def _status(model: HostedModel) -> ModelStatus:
    if model.failure is not None and model.status == "unloaded":
        return ModelStatus(model.status, failed=True, error=model.failure.reason)
    return ModelStatus(model.status)


def _meta(info: ModelInfo) -> ModelMeta:
    return ModelMeta(
        n_vocab=info.n_vocab,
        n_ctx=info.n_ctx,
        n_ctx_train=info.n_ctx_train,
        n_embd=info.n_embd,
        n_params=info.n_params,
        size=info.size_bytes,
    )


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


routes = [Route("/models", list_models), Route("/models/{model:path}", get_model)]
admin_port_routes = [Route(path, list_models_for_admin) for path in ("/models", "/v1/models")]
