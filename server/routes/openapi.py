"""`GET /openapi.json`: what this server takes and answers, for programs."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.state import state_of


async def openapi(request: Request) -> Response:
    """Made when it is first asked for."""
    application = request.app
    if not hasattr(application.state, "openapi"):
        from server.openapi.document import document  # takes a while, and is rarely needed

        application.state.openapi = await asyncio.to_thread(document, application.routes, state_of(request))
    return Response(application.state.openapi, media_type="application/json")


routes = [Route("/openapi.json", openapi)]
