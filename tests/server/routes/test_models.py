"""`/v1/models`, and what the application answers beside its endpoints."""

from __future__ import annotations

import pytest
from openai.types import Model

from server.limits import Limits
from tests.server.routes.client import call, chat, error
from tests.server.scripted import N_CTX, scripted_state


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_models(prefix: str) -> None:
    state, _ = scripted_state()
    listed = (await call(state, "GET", f"{prefix}/models")).json()
    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["m", "org/m:q4"])
    for model in listed["data"]:
        Model.model_validate(model, strict=True)
        assert (await call(state, "GET", f"{prefix}/models/{model['id']}")).json() == model
    assert listed["data"][0]["meta"]["n_ctx"] == N_CTX


@pytest.mark.parametrize("path", ["/v1/models/nobody", "/models/org/nobody"])
async def test_unknown_model(path: str) -> None:
    state, _ = scripted_state()
    response = await call(state, "GET", path)
    answer = error(response)
    assert (response.status_code, answer["code"], answer["param"]) == (404, "model_not_found", "model")
    response = await chat(state, model="nobody")
    assert (response.status_code, error(response)["code"]) == (404, "model_not_found")
    assert "'m', 'org/m:q4'" in error(response)["message"]


async def test_chat_without_the_prefix_and_by_alias() -> None:
    state, _ = scripted_state()
    body = {"model": "org/m:q4", "messages": [{"role": "user", "content": "hi"}]}
    response = await call(state, "POST", "/chat/completions", json=body)
    assert response.json()["model"] == "org/m:q4"


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models", "/v1/chat", "/v1/chat/completions/", "/%ff", "/v1//models"])
async def test_unknown_path(path: str) -> None:
    state, _ = scripted_state()
    response = await call(state, "GET", path)
    assert (response.status_code, error(response)["code"]) == (404, "not_found")


async def test_wrong_method() -> None:
    state, _ = scripted_state()
    for path, allowed in (
        ("/v1/chat/completions", {"POST"}),
        ("/completions", {"POST"}),
        ("/v1/models", {"GET", "HEAD"}),
    ):
        response = await call(state, "DELETE", path)
        assert (response.status_code, error(response)["code"]) == (405, "method_not_allowed")
        assert set(response.headers["allow"].split(", ")) == allowed


async def test_encoding_size_and_syntax() -> None:
    state, _ = scripted_state()
    state.limits = Limits(body_bytes=100)
    for content, headers, status in (
        (b"{}", {"content-encoding": "gzip"}, 415),
        (b" " * 101, {}, 413),
        (b"{", {}, 400),
        (b"[]", {}, 400),
    ):
        response = await call(state, "POST", "/v1/chat/completions", content=content, headers=headers)
        assert response.status_code == status
        assert error(response)["type"] == "invalid_request_error"


async def test_while_the_model_loads() -> None:
    state, backend = scripted_state()
    backend.ready = False
    assert (await chat(state)).status_code == 200, "it is the backend where requests wait for another engine"
    state, _ = scripted_state(loaded=False)
    response = await chat(state, stream=True)
    assert (response.status_code, error(response)["code"]) == (503, "unavailable")
    assert int(response.headers["retry-after"]) > 0


async def test_an_unexpected_exception_keeps_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    state, backend = scripted_state()
    backend.fail_after, backend.failure = 0, RuntimeError("secret")
    response = await chat(state)
    assert (response.status_code, error(response)["type"]) == (500, "server_error")
    assert "secret" not in response.text
    # the log's formatter leaves the exception's text out of the traceback
    unexpected = caplog.records[0]
    assert unexpected.getMessage() == "unexpected error"
    assert unexpected.exc_info is not None and unexpected.exc_info[0] is RuntimeError
