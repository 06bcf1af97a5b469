"""What a key may use, and what is told of it: on the application itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from backends.base import EngineUnavailable
from server.access.caller import Caller
from server.access.quota import Spending
from tests.server.access.gate_client import BODY, CHAT, Client, guarded
from tests.server.routes.client import chunks, error


async def test_requests_per_minute() -> None:
    state, backend = guarded(requests_per_minute=2)
    client = Client(state)
    first, second, third = [await client() for _ in range(3)]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [r.headers["x-ratelimit-remaining-requests"] for r in (first, second, third)] == ["1", "0", "0"]
    assert (third.status_code, error(third)["code"], error(third)["type"]) == (429, "rate_limit_exceeded", "requests")
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert "x-ratelimit-limit-tokens" not in third.headers
    assert len(backend.requests) == 2
    # what costs nothing is not counted, and tells where the key stands
    models = await client("GET", "/v1/models")
    assert (models.status_code, models.headers["x-ratelimit-remaining-requests"]) == (200, "0")


async def test_streams_and_errors_tell_the_limits_too() -> None:
    state, _ = guarded(requests_per_minute=10, tokens_per_minute=1000)
    client = Client(state)
    stream = await client(json=BODY | {"stream": True, "max_tokens": 3})
    assert chunks(stream)
    assert stream.headers["x-ratelimit-remaining-requests"] == "9"
    assert stream.headers["x-ratelimit-reset-requests"].endswith("s")
    assert stream.headers["x-ratelimit-limit-tokens"] == "1000"
    wrong = await client(json={"model": "m"})
    assert (wrong.status_code, wrong.headers["x-ratelimit-remaining-requests"]) == (400, "8")


def remaining(response: httpx.Response) -> int:
    return int(response.headers["x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "prompt"),
    [
        (CHAT, BODY, 9),
        ("/v1/completions", {"model": "m", "prompt": ["hi", "ho"]}, 6),
        ("/completion", {"prompt": "hi", "n_predict": 40}, 3),
    ],
)
async def test_tokens_are_reserved_and_settled(path: str, body: dict[str, Any], prompt: int, stream: bool) -> None:
    """Each says "hello", which is five tokens."""
    state, _ = guarded(tokens_per_minute=100_000)
    client = Client(state)
    n = len(body["prompt"]) if isinstance(body.get("prompt"), list) else 1
    limit = body.get("n_predict", 40)
    answer = await client(
        path=path, json=body | {"stream": stream} | ({} if "n_predict" in body else {"max_tokens": 40})
    )
    assert answer.status_code == 200
    at_start = 100_000 - prompt - n * limit
    # a stream's headers go before its tokens; up to 50 tokens flow in within the time that this takes
    assert at_start <= remaining(answer) <= at_start + 50 + 5 * n
    left = remaining(await client("GET", "/v1/models"))
    assert 100_000 - prompt - 5 * n <= left


async def test_a_prompt_is_let_go_with_its_answer() -> None:
    """A connection keeps its last request's scope, and so its caller, for as long as it is open."""
    state, _ = guarded(tokens_per_minute=1000)
    callers: list[Caller] = []
    reserve = Caller.reserve

    def noted(self: Caller, parts: Sequence[Spending], *, bounded: bool) -> None:
        callers.append(self)
        reserve(self, parts, bounded=bounded)
        assert self._reservation is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Caller, "reserve", noted)
        assert (await Client(state)()).status_code == 200
    assert [caller._reservation for caller in callers] == [None]


async def test_tokens_per_minute() -> None:
    state, backend = guarded(tokens_per_minute=50)
    client = Client(state)
    assert (await client(json=BODY | {"max_tokens": 30})).status_code == 200
    refused = await client(json=BODY | {"max_tokens": 30})
    assert (refused.status_code, error(refused)["type"], error(refused)["code"]) == (
        429,
        "tokens",
        "rate_limit_exceeded",
    )
    assert "retry-after-ms" in refused.headers
    never = await client(json=BODY | {"max_tokens": 45})
    assert never.status_code == 429
    assert error(never)["message"].startswith("Request too large")
    assert never.headers["x-should-retry"] == "false"
    assert len(backend.requests) == 1


async def test_what_the_server_turns_away_takes_no_tokens() -> None:
    state, backend = guarded(tokens_per_minute=1000)
    backend.fail_after, backend.failure = 0, EngineUnavailable("restarting")
    client = Client(state)
    for _ in range(50):
        assert (await client(json=BODY | {"max_tokens": 50})).status_code == 503
    backend.fail_after = None
    assert (await client(json=BODY | {"max_tokens": 50})).status_code == 200


async def test_a_stream_beyond_the_limit_is_a_status_of_its_own() -> None:
    state, _ = guarded(tokens_per_minute=20)
    refused = await Client(state)(json=BODY | {"max_tokens": 50, "stream": True})
    assert (refused.status_code, error(refused)["type"]) == (429, "tokens")


async def test_concurrency() -> None:
    state, backend = guarded(concurrency=1)
    backend.delay = 0.2
    client = Client(state)
    running = asyncio.create_task(client())
    await asyncio.sleep(0.05)
    refused = await client()
    assert (refused.status_code, error(refused)["code"], refused.headers["retry-after"]) == (
        429,
        "rate_limit_exceeded",
        "1",
    )
    assert (await running).status_code == 200
    assert (await client()).status_code == 200


async def test_a_client_that_goes_away_frees_its_place() -> None:
    state, backend = guarded(concurrency=1, tokens_per_minute=1000)
    backend.delay = 5
    client = Client(state)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client(json=BODY | {"max_tokens": 50}), 0.1)
    backend.delay = 0
    response = await client()
    assert response.status_code == 200
    assert remaining(response) > 900
