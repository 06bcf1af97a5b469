"""`GET /metrics`: Prometheus's text format, or OpenMetrics for a scraper that asks for it."""

from __future__ import annotations

from prometheus_client.exposition import choose_encoder
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.access.gate import AdminOnly
from server.state import state_of


async def metrics(request: Request) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(state_of(request).metrics.registry), headers={"Content-Type": content_type})


admin_routes = [Route("/metrics", metrics, middleware=[Middleware(AdminOnly)])]
