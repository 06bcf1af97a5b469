"""Keys on the real server: the official SDK's errors and retries, changed files, an admin port; no secret in logs."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from .serving import DEMO, Server, serving

MESSAGES: Any = [{"role": "user", "content": "What is the capital of France?"}]
PROMPT_MARK = "zanzibarlike"
SECRETS = {name: f"sk-{name}-c0ffee" for name in ("search", "ops", "slow", "small", "later", "environment")}

KEYS = f"""
[[keys]]
name = "search"
key = "{SECRETS["search"]}"
requests-per-minute = 600
tokens-per-minute = 6000

[[keys]]
name = "ops"
key = "{SECRETS["ops"]}"
admin = true

[[keys]]
name = "slow"
key = "{SECRETS["slow"]}"
requests-per-minute = 20

[[keys]]
name = "small"
key = "{SECRETS["small"]}"
tokens-per-minute = 1000
"""


def write(file: Path, text: str) -> None:
    """As if a while ago: a file that has just been written is left alone for a moment."""
    file.write_text(text)
    then = time.time() - 5
    os.utime(file, (then, then))


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("access") / "keys.toml"
    write(file, KEYS)
    return file


@pytest.fixture(scope="module")
def server(key_file: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PADDOCK_API_KEY", SECRETS["environment"])
            server = stack.enter_context(serving("--api-key-file", str(key_file), "--log-level", "debug"))
        yield server
    log = "".join(server.log)
    assert "key=search" in log
    for secret in SECRETS.values():
        assert secret not in log
    assert PROMPT_MARK not in log


def client(server: Server, name: str, **options: Any) -> OpenAI:
    secret = SECRETS.get(name, name)
    return OpenAI(base_url=server.url, api_key=secret, timeout=60, **({"max_retries": 0} | options))


def ask(client: OpenAI, **fields: Any) -> Any:
    fields = {"max_tokens": 5, "temperature": 0} | fields
    return client.chat.completions.with_raw_response.create(model=DEMO, messages=MESSAGES, **fields)


def test_a_key_is_asked_for(server: Server) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client(server, "sk-wrong"))
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert "sk-wrong" not in caught.value.response.text
    for name in ("search", "environment"):
        assert "Paris" in ask(client(server, name), max_tokens=20).parse().choices[0].message.content
    assert client(server, "search").models.list().data[0].id == DEMO
    assert httpx.get(f"{server.url}/models", headers={"X-Api-Key": SECRETS["search"]}).status_code == 200
    for probe in ("/health", "/livez", "/v1/health"):
        assert server.get(probe).status_code == 200


def test_the_body_of_who_is_refused_is_no_request(server: Server) -> None:
    """It is neither read nor taken for what comes next on the connection."""
    hidden = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRETS['search']}\r\n\r\n".encode()
    host, _, port = server.root.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    for body in (hidden, hidden * 10_000):
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer sk-wrong"})
        refused = connection.getresponse()
        assert refused.status == 401 and b"invalid_api_key" in refused.read()
        connection.request("GET", "/livez")
        probe = connection.getresponse()
        assert (probe.status, probe.read()) == (200, b'{"status":"ok"}')
    connection.close()


def test_limits_are_told(server: Server) -> None:
    headers = ask(client(server, "search"), max_tokens=1500).headers
    assert headers["x-ratelimit-limit-requests"] == "600"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 6000
    with client(server, "search").chat.completions.with_streaming_response.create(
        model=DEMO, messages=MESSAGES, max_tokens=5, stream=True
    ) as stream:
        assert re.fullmatch(r"\d+ms|[\d.]+s", stream.headers["x-ratelimit-reset-requests"])
        assert "[DONE]" in stream.read().decode()
    assert not any(name.startswith("x-ratelimit") for name in ask(client(server, "ops")).headers)


def exhaust(server: Server, name: str) -> None:
    """Use up the key's requests of this minute, with ones that cost nothing."""
    with httpx.Client(headers={"Authorization": f"Bearer {SECRETS[name]}"}) as http:
        for _ in range(100):
            if http.post(f"{server.root}/tokenize", json={"content": ""}).status_code == 429:
                return
    raise AssertionError("the key is never used up")


def test_the_sdk_comes_back_when_it_is_told_to(server: Server) -> None:
    """A request every three seconds: what is refused is served at the second try, as the first one said when."""
    once, twice = client(server, "slow"), client(server, "slow", max_retries=1)
    exhaust(server, "slow")
    with pytest.raises(openai.RateLimitError) as caught:
        ask(once)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert 0 < int(caught.value.response.headers["retry-after-ms"]) <= 3000
    answer = ask(twice)
    assert answer.retries_taken == 1 and answer.parse().choices


def test_the_sdk_gives_up_what_can_never_be(server: Server) -> None:
    with pytest.raises(openai.RateLimitError, match="Request too large") as caught:
        ask(client(server, "small", max_retries=2), max_tokens=1100)
    assert caught.value.type == "tokens"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
    with pytest.raises(openai.RateLimitError, match="Request too large"):
        list(
            client(server, "small").chat.completions.create(model=DEMO, messages=MESSAGES, max_tokens=1100, stream=True)
        )


def test_admin_calls(server: Server) -> None:
    def get(path: str, name: str) -> httpx.Response:
        return httpx.get(server.root + path, headers={"Authorization": f"Bearer {SECRETS[name]}"})

    for path in ("/metrics", "/slots"):
        assert get(path, "search").status_code == 403
        assert get(path, "ops").status_code == 200
    ask(client(server, "search"))
    metrics = get("/metrics", "ops").text
    assert 'key="search"' in metrics
    assert not any(secret in metrics for secret in SECRETS.values())


def test_nothing_of_a_prompt_is_told_or_logged(server: Server) -> None:
    """The fixture looks through the log."""
    bodies: list[tuple[str, Any]] = [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [PROMPT_MARK]}]}),
        ("/v1/chat/completions", {"messages": [{"role": PROMPT_MARK, "content": PROMPT_MARK}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT_MARK, "name": 1}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT_MARK * 20_000}]}),
        ("/v1/chat/completions", {"messages": PROMPT_MARK}),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "content": PROMPT_MARK, "tool_call_id": "x"}]}),
        ("/v1/completions", {"prompt": {PROMPT_MARK: 1}}),
        ("/v1/completions", {"prompt": [PROMPT_MARK, 1]}),
        ("/v1/completions", {"prompt": PROMPT_MARK, "suffix": PROMPT_MARK, "echo": True}),
        ("/completion", {"prompt": [[PROMPT_MARK, 10**9]]}),
        ("/apply-template", {"messages": [{"role": "assistant", "content": None, "tool_calls": PROMPT_MARK}]}),
        ("/tokenize", {"content": [PROMPT_MARK, 1.5]}),
    ]
    headers = {"Authorization": f"Bearer {SECRETS['ops']}"}
    with httpx.Client(base_url=server.root, headers=headers, timeout=60) as http:
        for path, body in bodies:
            response = http.post(path, json={"model": DEMO, "max_tokens": 1} | body)
            assert PROMPT_MARK not in response.text or response.status_code == 200, body
        for raw in (f'{{"prompt": "{PROMPT_MARK}', f'{{"prompt": {PROMPT_MARK}}}', f'"{PROMPT_MARK}" "x"'):
            assert PROMPT_MARK not in http.post("/v1/completions", content=raw).text
        # the path is logged; a query is not, for some put keys into it
        http.get("/v1/models", params={"key": SECRETS["search"]})
        http.get("/v1/models/" + "%0a%1b%5b31mforged%20line")


def test_keys_are_renewed_while_it_runs(server: Server, key_file: Path) -> None:
    def status(name: str) -> int:
        return httpx.get(f"{server.url}/models", headers={"Authorization": f"Bearer {SECRETS[name]}"}).status_code

    def await_status(name: str, wanted: int) -> None:
        for _ in range(100):
            if status(name) == wanted:
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} is not answered with {wanted}")

    with client(server, "search").chat.completions.create(
        model=DEMO, messages=MESSAGES, max_tokens=400, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        next(stream)
        write(key_file, KEYS.replace(SECRETS["search"], SECRETS["later"]))
        await_status("search", 401)
        await_status("later", 200)
        assert list(stream)[-1].choices[0].finish_reason == "length"  # revoked, it goes on
    write(key_file, "[[keys]]\nname = ")
    time.sleep(1.1)
    assert (status("later"), status("search"), status("environment")) == (200, 401, 200)
    assert any("the new keys are refused" in line for line in server.log)
    write(key_file, KEYS)
    await_status("search", 200)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_an_admin_port_and_an_open_address() -> None:
    port = free_port()
    with serving("--admin-port", str(port), "--host", "0.0.0.0") as server:
        for path in ("/metrics", "/slots", "/v1/models", "/health", "/livez"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
        for path in ("/v1/completions", "/props", "/openapi.json", "/"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code in (404, 405)
        assert [server.get(path).status_code for path in ("/metrics", "/slots")] == [404, 404]
        assert server.get("/v1/models").status_code == 200
    log = "".join(server.log)
    assert re.search(r"WARNING .*0\.0\.0\.0:\d+ may use this server: it asks for no key", log)
    assert f"/metrics and /slots at http://127.0.0.1:{port}\n" in log
