"""Who is let in, and what each key may do: on the application itself."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.access.keys import hashed
from server.app import create_admin_app, create_app
from tests.server.access.gate_client import BODY, CHAT, SECRET, Client, bearer, guarded
from tests.server.routes.client import call, error
from tests.server.scripted import scripted_state

PATHS = [
    ("POST", CHAT),
    ("POST", "/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/completion"),
    ("POST", "/infill"),
    ("POST", "/tokenize"),
    ("POST", "/props"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/m"),
    ("GET", "/props"),
    ("GET", "/slots"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("OPTIONS", CHAT),
    ("GET", "/nowhere"),
    ("GET", "/health/"),
    ("GET", "//health"),
    ("GET", "/Health"),
    ("GET", "/health/../metrics"),
    ("GET", "/metrics%2f"),
    ("GET", "/health%2f..%2fmetrics"),
    ("GET", "/metrics?x=/health"),
    ("GET", "/"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_nothing_without_a_key(method: str, path: str) -> None:
    state, backend = guarded()
    response = await call(state, method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    answer = error(response)
    assert (answer["type"], answer["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "Authorization: Bearer" in answer["message"]
    assert not backend.requests


async def status_of(app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> int:
    """As the HTTP server would hand it over, with paths that no client would send."""
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("test", 80), "scheme": "http", "root_path": "",
        "http_version": "1.1", "state": {},
    }  # fmt: skip
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    (status,) = statuses
    return int(status)


PROBES = {"/health", "/v1/health", "/livez"}
PIECES = [
    "/health",
    "/livez",
    "/v1",
    "/metrics",
    "/slots",
    "/models",
    "/chat/completions",
    "/",
    "..",
    ";",
    "?",
    "\0",
    "\n",
    "x",
]
HEADERS = st.tuples(
    st.sampled_from([b"authorization", b"x-api-key", b"x-forwarded-for", b"x-original-url", b"cookie", b"host"]),
    st.sampled_from([b"", b"Bearer", b"Bearer ", b"Bearer tests", b"tests", b"/health", b"127.0.0.1"]) | st.binary(),
)


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT", "BREW"]),
    path=st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
    headers=st.lists(HEADERS, max_size=3),
)
def test_no_path_leads_around_the_gate(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
    assume(path not in PROBES)
    state, _ = guarded(admin=True)
    assert asyncio.run(status_of(create_app(state), method, path, headers)) == 401


@pytest.mark.parametrize("path", sorted(PROBES))
async def test_probes_need_no_key(path: str) -> None:
    state, _ = guarded()
    assert (await call(state, "GET", path)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {SECRET}"}, 200),
        ({"Authorization": f"bearer   {SECRET} "}, 200),
        ({"X-Api-Key": SECRET}, 200),
        ({"X-Api-Key": SECRET, "Authorization": "Basic eDp5"}, 200),
        ({"X-Api-Key": SECRET, "Authorization": "Bearer wrong"}, 401),
        ({"Authorization": SECRET}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Bearer {SECRET}x"}, 401),
        ({"Authorization": f"Bearer {SECRET[:-1]}"}, 401),
        ({"Authorization": f"Bearer {hashed(SECRET)}"}, 401),
        ({"Authorization": b"Bearer \xff\xfe"}, 401),
        ({"X-Api-Key": "x" * 10_000}, 401),
        ({"Cookie": f"api_key={SECRET}"}, 401),
    ],
)
async def test_how_a_key_is_presented(headers: dict[str, Any], status: int) -> None:
    state, _ = guarded()
    response = await call(state, "POST", CHAT, json=BODY, headers=headers)
    assert response.status_code == status
    if status == 401:
        assert SECRET not in response.text and "wrong" not in response.text
        assert error(response)["code"] == "invalid_api_key"


async def test_a_key_in_the_query_is_none() -> None:
    state, _ = guarded()
    assert (await call(state, "GET", f"/v1/models?api_key={SECRET}")).status_code == 401


async def test_without_keys_anyone_is_let_in() -> None:
    state, _ = scripted_state()
    response = await call(state, "POST", CHAT, json=BODY, headers=bearer("anything"))
    assert response.status_code == 200
    assert not any(name.startswith("x-ratelimit") for name in response.headers)
    assert (await call(state, "GET", "/metrics")).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/metrics"), ("GET", "/slots"), ("POST", "/props")])
async def test_admin_calls_need_an_admin_key(method: str, path: str) -> None:
    state, _ = guarded()
    response = await call(state, method, path, headers=bearer())
    assert (response.status_code, error(response)["code"]) == (403, "insufficient_permissions")
    state, _ = guarded(admin=True)
    assert (await call(state, method, path, headers=bearer())).status_code == (200 if method == "GET" else 501)


async def test_admin_calls_at_a_port_of_their_own() -> None:
    state, _ = guarded(admin=True)
    state.admin_apart = True
    for path in ("/metrics", "/slots"):
        assert (await call(state, "GET", path, headers=bearer())).status_code == 404
    transport = httpx.ASGITransport(create_admin_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for path, status in (
            ("/metrics", 200),
            ("/slots", 200),
            ("/health", 200),
            ("/livez", 200),
            ("/v1/models", 200),
            ("/v1/models/m", 404),
        ):
            assert (await client.get(path)).status_code == status
        assert (await client.post(CHAT, json=BODY)).status_code == 404


async def test_the_key_s_name_is_a_label_and_the_key_nowhere() -> None:
    state, _ = guarded(admin=True)
    client = Client(state)
    await client()
    await client(headers=bearer("wrong-key"))
    metrics = (await client("GET", "/metrics")).text
    assert 'key="tests"' in metrics
    assert SECRET not in metrics and "wrong-key" not in metrics and hashed(SECRET) not in metrics


ASKING = [
    (CHAT, BODY),
    ("/v1/completions", {"prompt": "hi"}),
    ("/completion", {"prompt": "hi"}),
    ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
]


@pytest.mark.parametrize(("path", "body"), ASKING)
async def test_a_key_s_models(path: str, body: dict[str, Any]) -> None:
    state, backend = guarded(models=frozenset({"org/m:q4", "another"}))
    client = Client(state)
    for hidden in ("m", "another"):
        response = await client(path=path, json=body | {"model": hidden})
        answer = error(response)
        assert (response.status_code, answer["code"]) == (404, "model_not_found")
        assert answer["message"] == f"The model '{hidden}' does not exist. This server has: 'org/m:q4'."
    assert not backend.requests
    assert (await client(path=path, json=body | {"model": "org/m:q4"})).status_code == 200


async def test_a_key_sees_its_models_only() -> None:
    state, _ = guarded(models=frozenset({"org/m:q4", "another"}))
    client = Client(state)
    listed = (await client("GET", "/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["org/m:q4"]
    assert (await client("GET", "/v1/models/m")).status_code == 404
    assert (await client("GET", "/v1/models/org/m:q4")).status_code == 200


UNNAMED = [
    ("POST", "/completion", {"prompt": "hi"}),
    ("POST", "/infill", {"input_prefix": "a", "input_suffix": "b"}),
    ("POST", "/tokenize", {"content": "hi"}),
    ("POST", "/detokenize", {"tokens": [65]}),
    ("POST", "/apply-template", {"messages": BODY["messages"]}),
    ("GET", "/props", None),
]


@pytest.mark.parametrize(("method", "path", "body"), UNNAMED)
async def test_a_model_that_is_not_named_must_be_the_key_s_too(
    method: str, path: str, body: dict[str, Any] | None
) -> None:
    for models, status in ((None, 200), (frozenset({"m"}), 200), (frozenset({"another"}), 404)):
        state, _ = guarded(models=models)
        answer = await Client(state)(method, path, json=body)
        assert answer.status_code == status
        if status == 404:  # without the name of what is here
            assert error(answer)["message"] == "Your API key may use none of this server's models."


async def test_a_revoked_key_s_request_goes_on() -> None:
    state, backend = guarded()
    backend.delay = 0.2
    assert state.keys is not None
    client = Client(state)
    running = asyncio.create_task(client())
    await asyncio.sleep(0.05)
    state.keys._ring = type(state.keys._ring)([])
    assert (await client()).status_code == 401
    assert (await running).status_code == 200


ORIGIN = {"Origin": "https://app.example"}
PREFLIGHT = ORIGIN | {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


async def test_other_sites_pages_are_not_allowed_by_default() -> None:
    state, _ = guarded()
    assert (await call(state, "OPTIONS", CHAT, headers=PREFLIGHT)).status_code == 401
    response = await Client(state)(headers=bearer() | ORIGIN)
    assert not any(name.startswith("access-control") for name in response.headers)


async def test_allowed_sites() -> None:
    state, _ = guarded()
    state.cors_origins = ("https://app.example",)
    preflight = await call(state, "OPTIONS", CHAT, headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    # refusals can be read, too
    for headers, status in ((bearer(), 200), ({}, 401)):
        response = await Client(state)(headers=headers | ORIGIN)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        exposed = response.headers["access-control-expose-headers"].split(", ")
        assert {"x-ratelimit-remaining-tokens", "retry-after-ms", "x-should-retry"} <= set(exposed)
        assert "access-control-allow-credentials" not in response.headers
    other = await call(state, "OPTIONS", CHAT, headers=PREFLIGHT | {"Origin": "https://app.example.evil"})
    assert "access-control-allow-origin" not in other.headers
