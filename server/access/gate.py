"""ASGI middleware: no key, no answer. A key with no requests left gets a 429 before anything of its request is read."""

from __future__ import annotations

import time
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.access.caller import Caller, caller_of, introduce
from server.access.key_store import KeyStore
from server.access.keys import Key
from server.access.quota import Quota
from server.errors import APIError

_HINT = "Send it as the header 'Authorization: Bearer YOUR_KEY', or as 'X-Api-Key: YOUR_KEY'."


class Gate:
    """Lets a request through to the application if its key allows it."""

    def __init__(self, app: ASGIApp, keys: KeyStore, open_paths: Collection[str]) -> None:
        """`open_paths` need no key."""
        self._app = app
        self._keys = keys
        self._open_paths = frozenset(open_paths)
        self._quotas: dict[str, Quota] = {}
        """By the keys' names."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        try:
            quota = self._quota(self._key(scope))
        except APIError as error:
            await error.response()(scope, receive, send)
            return
        caller = Caller(quota)
        introduce(scope, caller)
        send = _telling(quota, caller, send)
        if scope["method"] != "POST":  # reading what there is costs next to nothing; what is posted is computed
            await self._app(scope, receive, send)
            return
        try:
            quota.begin(time.monotonic())
        except APIError as error:
            await error.response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            caller.end()

    def _key(self, scope: Scope) -> Key:
        """Raises a 401."""
        secret = _presented(Headers(scope=scope))
        if secret is None:
            raise _unauthorized(f"You didn't provide an API key. {_HINT}")
        key = self._keys.find(secret)
        if key is None:
            raise _unauthorized(f"Incorrect API key provided. {_HINT}")
        return key

    def _quota(self, key: Key) -> Quota:
        quota = self._quotas.get(key.name)
        if quota is None:
            quota = self._quotas[key.name] = Quota(key, time.monotonic())
        elif quota.key is not key:
            quota.renew(key, time.monotonic())
        return quota


class AdminOnly:
    """Middleware of a route that only admin keys may call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).check_admin()
        await self._app(scope, receive, send)


def _presented(headers: Headers) -> bytes | None:
    """As OpenAI's clients send it, or as llama-server's may."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and (secret := secret.strip()):
        return secret.encode("latin-1")
    return headers.get("x-api-key", "").strip().encode("latin-1") or None


def _unauthorized(message: str) -> APIError:
    headers = {"WWW-Authenticate": "Bearer"}
    return APIError(message, status=401, code="invalid_api_key", headers=headers)


def _telling(quota: Quota, caller: Caller, send: Send) -> Send:
    """With the headers that say what is left of a limited key."""
    if not quota.limited:
        return send

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            caller.turned_away = message["status"] in (429, 503)
            MutableHeaders(scope=message).update(quota.headers(time.monotonic()))
        await send(message)

    return told
