"""Readiness and liveness."""

from __future__ import annotations

import pytest

from tests.server.routes.client import call, error
from tests.server.scripted import scripted_state


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
async def test_ready(path: str) -> None:
    state, backend = scripted_state()
    response = await call(state, "GET", path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert (await call(state, "HEAD", path)).status_code == 200

    backend.ready = False
    response = await call(state, "GET", path)
    assert (response.status_code, error(response)["code"]) == (503, "unavailable")
    assert int(response.headers["retry-after"]) > 0

    state, _ = scripted_state(loaded=False)
    response = await call(state, "GET", path)
    assert response.status_code == 503
    assert "loading" in error(response)["message"]


async def test_live() -> None:
    state, _ = scripted_state(loaded=False)
    assert (await call(state, "GET", "/livez")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/props", "/slots"])
async def test_what_needs_the_model_while_it_loads(path: str) -> None:
    state, _ = scripted_state(loaded=False)
    assert (await call(state, "GET", path)).status_code == 503
