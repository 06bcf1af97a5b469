"""A request's hold on its model, from when it names it until the last byte of its answer."""

from __future__ import annotations

from contextlib import ExitStack

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from server.hosting.hosted_model import HostedModel
from server.hosting.users import Use

_STATE = "uses"


class InUse:
    """ASGI middleware that lets go, however the request ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as uses:
            scope.setdefault("state", {})[_STATE] = uses
            await self._app(scope, receive, send)


def hold(request: Request, model: HostedModel) -> Use:
    """For the rest of the request."""
    uses = request.scope["state"][_STATE]
    assert isinstance(uses, ExitStack)
    return uses.enter_context(model.use())
