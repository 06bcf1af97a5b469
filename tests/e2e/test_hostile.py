"""Hostile input against the real server: never a 5xx, and the next request is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.routes.test_hostile import bodies, values

from .serving import DEMO, Server, serving

PATHS = ["/v1/chat/completions", "/v1/completions"]
NATIVE_PATHS = ["/completion", "/infill", "/tokenize", "/detokenize", "/apply-template"]
FRANCE = {"model": DEMO, "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A server of its own, with a deadline, so that a lucky body doesn't generate for long."""
    with serving("--timeout", "20") as server, httpx.Client(base_url=server.root, timeout=60) as client:
        yield client
        assert "Paris" in client.post("/v1/chat/completions", json=FRANCE).json()["choices"][0]["message"]["content"]
        assert client.get("/health").status_code == 200


def check(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        error = response.json()["error"]
        assert error.keys() == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies, path=st.sampled_from(PATHS))
def test_any_body(client: httpx.Client, body: dict[str, Any], path: str) -> None:
    check(client.post(path, json=body | {"model": DEMO, "max_tokens": 5}))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(body=values | st.dictionaries(st.sampled_from(["prompt", "content", "tokens", "messages"]), values))
@pytest.mark.parametrize("path", NATIVE_PATHS)
def test_any_body_for_llama_server_s_endpoints(client: httpx.Client, body: Any, path: str) -> None:
    check(client.post(path, json=body | {"n_predict": 3} if isinstance(body, dict) else body))


@settings(deadline=None, max_examples=40)
@given(body=st.binary(max_size=200), path=st.sampled_from([*PATHS, *NATIVE_PATHS]))
def test_any_bytes(client: httpx.Client, body: bytes, path: str) -> None:
    check(client.post(path, content=body))


@settings(deadline=None, max_examples=60)
@given(
    sampling=st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2), "top_k": st.integers(-1, 10**9), "top_p": st.floats(0, 1),
            "min_p": st.floats(0, 1), "tfs_z": st.floats(0, 1), "typical_p": st.floats(0, 1),
            "top_n_sigma": st.floats(-1, 10), "xtc_probability": st.floats(0, 1), "xtc_threshold": st.floats(0, 1),
            "mirostat": st.integers(0, 2), "mirostat_tau": st.floats(0, 20), "mirostat_eta": st.floats(0, 1),
            "repeat_penalty": st.floats(0.1, 5), "repeat_last_n": st.integers(-1, 10**6),
            "presence_penalty": st.floats(-2, 2), "frequency_penalty": st.floats(-2, 2),
            "dry_multiplier": st.floats(0, 5), "dry_base": st.floats(0, 5), "dry_allowed_length": st.integers(0, 100),
            "dry_sequence_breakers": st.lists(st.text(min_size=1), max_size=3), "min_keep": st.integers(0, 10**6),
            "dynatemp_range": st.floats(0, 5), "dynatemp_exponent": st.floats(0, 5), "ignore_eos": st.booleans(),
            "adaptive_target": st.floats(0, 1), "adaptive_decay": st.floats(0, 0.99),
            "logit_bias": st.dictionaries(st.integers(0, 2000).map(str), st.integers(-100, 100), max_size=5),
            "seed": st.integers(-(2**63), 2**63 - 1), "min_tokens": st.integers(0, 10),
        },
    )
)  # fmt: skip
def test_any_sampling_in_range_is_served(client: httpx.Client, sampling: dict[str, Any]) -> None:
    response = client.post("/v1/chat/completions", json=FRANCE | {"max_tokens": 8} | sampling)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("text", ["a" * 200_000, "\n" * 200_000, "🙂" * 50_000, "\u0000" * 1000, "<|im_end|>" * 500])
def test_long_and_odd_texts(client: httpx.Client, text: str) -> None:
    check(client.post("/v1/completions", json={"model": DEMO, "prompt": text, "max_tokens": 2}))
    check(client.post("/v1/chat/completions", json={"model": DEMO, "messages": [{"role": "user", "content": text}]}))


def test_a_deadline_passed_is_a_504() -> None:
    with serving("--timeout", "0.02") as server:
        late = server.post("/v1/chat/completions", FRANCE | {"max_tokens": 2000, "ignore_eos": True})
        assert late.status_code == 504 and late.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/nowhere", {}, 404),
        ("GET", "/v1/chat/completions", {}, 405),
        ("POST", "/v1/chat/completions", {"content-encoding": "gzip"}, 415),
    ],
)
def test_other_errors_have_openai_s_form(
    demo: Server, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response = httpx.request(method, demo.root + path, headers=headers)
    assert response.status_code == status
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
