"""llama-server's `POST /apply-template`: the prompt that a chat request would be answered from."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.body import read_body
from server.connection import unless_gone
from server.rendering import render
from server.schemas.native import ApplyTemplateRequest
from server.schemas.native_response import ApplyTemplateResponse
from server.schemas.rules import check_conversation
from server.state import state_of
from server.structured.aside import aside
from server.toolset import toolset


async def apply_template(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(ApplyTemplateRequest, request, state.limits)
    check_conversation(body)
    served, deadline = state.resolve(body.model or None, request), state.deadline()
    await unless_gone(request, state.backend(request, served), deadline)
    dialect = served.model.dialect(tools=body.has_tools)
    thread = aside if body.tools or body.functions else asyncio.to_thread
    rendering = thread(lambda: render(dialect, body, toolset(body)).prompt)
    prompt = await unless_gone(request, rendering, deadline)
    return Response(msgspec.json.encode(ApplyTemplateResponse(prompt)), media_type="application/json")


routes = [Route("/apply-template", apply_template, methods=["POST"])]
