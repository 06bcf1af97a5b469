"""llama-server's `POST /apply-template`: the prompt that a chat request would be answered from."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.body import read_body
from server.connection import unless_gone
from server.rendering import rendered
from server.schemas.native import ApplyTemplateRequest
from server.state import state_of


async def apply_template(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(ApplyTemplateRequest, request, state.max_body_bytes)
    state.loaded()
    prompt = await unless_gone(
        request,
        rendered(state, body.messages, body.add_generation_prompt, body.chat_template_kwargs, body.tools),
        state.deadline(),
    )
    return Response(msgspec.json.encode({"prompt": prompt}), media_type="application/json")


routes = [Route("/apply-template", apply_template, methods=["POST"])]
