"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.access.caller import caller_of
from server.schemas.models import Model, ModelList, ModelMeta
from server.state import AppState, state_of


async def list_models(request: Request) -> Response:
    state = state_of(request)
    names = caller_of(request).may_use(state.model_names)
    return _json(ModelList(data=[_model(state, name) for name in names]))


async def get_model(request: Request) -> Response:
    state = state_of(request)
    name = request.path_params["model"]
    state.check_model(name, caller_of(request))
    return _json(_model(state, name))


def _model(state: AppState, name: str) -> Model:
    info = state.loaded().model
    meta = ModelMeta(
        n_vocab=info.n_vocab,
        n_ctx=info.n_ctx,
        n_ctx_train=info.n_ctx_train,
        n_embd=info.n_embd,
        n_params=info.n_params,
        size=info.size_bytes,
    )
    return Model(id=name, created=state.created, owned_by="paddock", meta=meta)


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


routes = [Route("/models", list_models), Route("/models/{model:path}", get_model)]
