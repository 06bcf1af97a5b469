"""llama-server's `/lora-adapters`, and vLLM's `POST /v1/load_lora_adapter` and `POST /v1/unload_lora_adapter`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from backends.base import AdapterLoadError
from server.access.caller import caller_of
from server.access.gate import AdminOnly
from server.body import read_body
from server.errors import APIError, invalid
from server.hosting.in_use import hold
from server.schemas.lora import LoadAdapterRequest, LoadedAdapter, ScaleAdaptersRequest, UnloadAdapterRequest
from server.schemas.models import Success
from server.state import AppState, state_of


async def list_adapters(request: Request) -> Response:
    served = state_of(request).resolve(request.query_params.get("model"), request)
    adapters = [
        LoadedAdapter(id=adapter.id, path=str(adapter.path), scale=adapter.scale, name=adapter.name)
        for adapter in served.model.adapters.visible(caller_of(request))
    ]
    return Response(msgspec.json.encode(adapters), media_type="application/json")


async def scale_adapters(request: Request) -> Response:
    """For all requests from now on that don't say which adapters they want."""
    state = state_of(request)
    body = await read_body(ScaleAdaptersRequest, request, state.limits)
    served = state.resolve(request.query_params.get("model"), request)
    served.model.adapters.rescale(body.root, caller_of(request))
    return Response(msgspec.json.encode(Success()), media_type="application/json")


async def load_adapter(request: Request) -> Response:
    """Serve a file of --lora-dir under a name."""
    state = state_of(request)
    body = await read_body(LoadAdapterRequest, request, state.limits)
    name, model = body.lora_name, state.resolve(body.base_model_name, request).model
    if model.spec.settings.lora_dir is None:
        message = "This server loads no LoRA adapters over HTTP: --lora-dir names a folder from which it may."
        raise APIError(message, status=403, code="not_allowed")
    path = await asyncio.to_thread(_within, model.spec.settings.lora_dir, body.lora_path)
    use = hold(request, model)
    backend = await model.admit(use)
    _check_free(state, name, in_place=bool(body.load_inplace) and name in model.adapters.names)
    try:
        await model.adapters.load(backend, name, path)
    except AdapterLoadError as error:
        raise invalid(f"{str(error)[:1].upper()}{str(error)[1:]}.", "lora_path") from None
    return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")


async def unload_adapter(request: Request) -> Response:
    """Requests that run with it go on."""
    state = state_of(request)
    name = (await read_body(UnloadAdapterRequest, request, state.limits)).lora_name
    served = state.resolve(name, request)
    if served.adapter is None:
        raise invalid(f"'{name}' is a model, and no LoRA adapter.", "lora_name")
    served.model.adapters.unload(served.model.backend if served.model.state == "loaded" else None, name)
    return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


def _within(folder: str, path: str) -> Path:
    """The file, if it is one of the folder's. Raises a 404 that tells nothing of others."""
    with suppress(OSError, RuntimeError, ValueError):  # a name too long, links in a circle, a zero byte
        top = Path(folder).expanduser().resolve()
        file = (top / path).resolve()
        if file.is_relative_to(top) and file != top and file.exists():
            return file
    message = "There is no such file in the folder of LoRA adapters (--lora-dir)."
    raise APIError(message, status=404, param="lora_path", code="not_found")


def _check_free(state: AppState, name: str, *, in_place: bool) -> None:
    """Raises a 400."""
    coming = any(name in model.adapters.coming for model in state.host.models)
    if coming or (name in state.host.names() and not in_place):
        message = f"The name '{name}' is taken already: unload what it is of, or set 'load_inplace' to true."
        raise invalid(message, "lora_name")


routes = [Route("/lora-adapters", list_adapters)]
admin_routes = [
    Route(path, endpoint, methods=["POST"], middleware=[Middleware(AdminOnly)])
    for path, endpoint in (
        ("/lora-adapters", scale_adapters),
        ("/v1/load_lora_adapter", load_adapter),
        ("/v1/unload_lora_adapter", unload_adapter),
    )
]
