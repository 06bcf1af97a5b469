"""The framing of `/v1/chat/completions`, with a scripted backend."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from backends.base import BackendError, ContextLengthExceeded, EngineUnavailable
from server import sse
from tests.server.routes.client import chat, chunks, error, post
from tests.server.scripted import BOS, FIM_PREFIX, N_CTX, scripted_state, set_template


async def test_answer() -> None:
    state, backend = scripted_state()
    response = await chat(state)
    body = response.json()
    ChatCompletion.model_validate(body, strict=True)
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"content": "hello", "role": "assistant", "refusal": None, "annotations": [], "audio": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    prompt = backend.requests[0].prompt
    assert prompt == [BOS, *b"user:hi;"]
    assert backend.requests[0].max_tokens == N_CTX - len(prompt)
    assert body["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert body["timings"]["predicted_n"] == 5
    assert body["service_tier"] is None


async def test_stream() -> None:
    state, _ = scripted_state(lambda index: "ab")
    got = chunks(await chat(state, stream=True))
    for chunk in got:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert [chunk["choices"] for chunk in got] == [
        [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        [{"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "b"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
    ]
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["system_fingerprint"]) for chunk in got}) == 1
    assert ["timings" in chunk for chunk in got] == [False, False, False, True]
    assert not any("usage" in chunk for chunk in got)


async def test_stream_with_usage() -> None:
    state, _ = scripted_state(lambda index: "ab")
    got = chunks(await chat(state, stream=True, stream_options={"include_usage": True}))
    assert all(chunk["usage"] is None for chunk in got[:-1])
    assert got[-1]["choices"] == []
    assert got[-1]["usage"]["total_tokens"] == 11


async def test_stream_of_several_choices() -> None:
    state, _ = scripted_state(lambda index: "abc"[index:])
    got = chunks(await chat(state, stream=True, n=3))
    texts = ["", "", ""]
    for chunk in got:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == ["abc", "bc", "c"]
    assert sorted(c["choices"][0]["index"] for c in got if c["choices"][0]["finish_reason"]) == [0, 1, 2]


async def test_several_choices() -> None:
    state, backend = scripted_state(lambda index: "abc"[index:])
    body = (await chat(state, n=3)).json()
    assert [(c["index"], c["message"]["content"]) for c in body["choices"]] == [(0, "abc"), (1, "bc"), (2, "c")]
    assert (backend.requests[0].n, body["usage"]["completion_tokens"]) == (3, 6)


async def test_logprobs() -> None:
    state, _ = scripted_state(lambda index: "é")
    content = (await chat(state, logprobs=True, top_logprobs=2)).json()["choices"][0]["logprobs"]["content"]
    assert [(token["bytes"], token["logprob"]) for token in content] == [([0xC3], -0.5), ([0xA9], -1.0)]
    assert [len(token["top_logprobs"]) for token in content] == [2, 2]
    got = chunks(await chat(state, logprobs=True, stream=True))
    streamed = [token for chunk in got for token in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert [token["bytes"] for token in streamed] == [[0xC3], [0xA9]]
    assert got[1]["choices"][0]["logprobs"]["refusal"] is None


async def test_tokens_without_text_come_with_the_end_of_the_stream() -> None:
    state, _ = scripted_state(lambda index: [*b"ab", FIM_PREFIX])
    whole = (await chat(state, logprobs=True)).json()["choices"][0]["logprobs"]["content"]
    assert [token["token"] for token in whole] == ["a", "b", "<pre>"]
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks(await chat(state, logprobs=True, stream=True))]
    assert [token for part in parts if part for token in part["content"]] == whole
    assert parts[-1] is not None
    *_, plain = chunks(await chat(state, stream=True))
    assert plain["choices"][0]["logprobs"] is None


async def test_stop_string_and_limit() -> None:
    state, backend = scripted_state(lambda index: "one, two")
    choice = (await chat(state, stop=[", "])).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one", "stop")
    choice = (await chat(state, max_completion_tokens=3)).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one", "length")
    assert backend.requests[1].max_tokens == 3


async def test_no_limit_goes_over_the_servers() -> None:
    state, backend = scripted_state(n_predict=3)
    await chat(state)
    await chat(state, max_tokens=-1)
    assert [request.max_tokens for request in backend.requests] == [3, N_CTX - len(backend.requests[0].prompt)]


async def test_llama_servers_additions() -> None:
    state, _ = scripted_state()
    got = chunks(await chat(state, stream=True, return_progress=True, timings_per_token=True, service_tier="flex"))
    progress = next(chunk["prompt_progress"] for chunk in got if "prompt_progress" in chunk)
    assert (progress["total"], progress["processed"], progress["cache"]) == (9, 9, 1)
    assert all("timings" in chunk for chunk in got if chunk["choices"][0]["delta"].get("content"))
    assert {chunk["service_tier"] for chunk in got} == {"default"}


async def test_obfuscation() -> None:
    state, _ = scripted_state()
    got = chunks(await chat(state, stream=True, stream_options={"include_obfuscation": True}))
    assert {len(c["obfuscation"] + c["choices"][0]["delta"]["content"]) for c in got if "obfuscation" in c} == {32}


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"max_tokens": N_CTX}, ["64", "73", "9", "64"]),
        ({"messages": [{"role": "user", "content": "x" * 90}]}, ["64", "97"]),
    ],
)
async def test_too_long_for_the_context(fields: dict[str, Any], numbers: list[str]) -> None:
    state, _ = scripted_state()
    response = await chat(state, **fields)
    answer = error(response)
    assert (response.status_code, answer["code"], answer["param"]) == (400, "context_length_exceeded", "messages")
    assert all(number in answer["message"] for number in numbers)


async def test_no_template() -> None:
    state, _ = scripted_state()
    set_template(state, None)
    assert "--chat-template" in error(await chat(state))["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (EngineUnavailable("restarting"), 503, "unavailable"),
        (ContextLengthExceeded("too long"), 400, "context_length_exceeded"),
        (BackendError("broken"), 500, "engine_error"),
    ],
)
async def test_a_failure_before_the_first_token(stream: bool, failure: Exception, status: int, code: str) -> None:
    state, backend = scripted_state()
    backend.fail_after, backend.failure = 0, failure
    response = await chat(state, stream=stream)
    if stream:  # the engine had accepted the prompt: the stream was open
        assert f'"code":"{code}"' in response.text
        return
    assert (response.status_code, error(response)["code"]) == (status, code)
    assert ("retry-after" in response.headers) == (status == 503)


async def test_a_failure_while_streaming_is_the_last_event() -> None:
    state, backend = scripted_state()
    backend.fail_after = 2
    response = await chat(state, stream=True)
    *_, last, end = response.text.split("\n\n")
    assert end == ""
    assert last.startswith('event: error\ndata: {"error":{"message":')
    assert "scripted" not in last
    assert backend.cancelled


async def test_pings_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PATIENCE", 0.05)
    state, backend = scripted_state()
    state.sse_ping_interval = 0.1
    backend.delay = 0.5
    response = await chat(state, stream=True)
    assert response.text.startswith(": ping\n\n")
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks(response)) == "hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_deadline(stream: bool) -> None:
    state, backend = scripted_state()
    state.request_timeout = 0.05
    backend.delay = 5
    response = await chat(state, stream=stream)
    assert (response.status_code, error(response)["code"]) == (504, "deadline_exceeded")
    assert backend.cancelled


async def test_a_deadline_in_a_stream_is_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PATIENCE", 0.05)
    state, backend = scripted_state(lambda index: "hello" * 10)
    state.request_timeout = 0.2
    for backend.delay, backend.pace in ((5, 0), (0, 0.03)):
        backend.cancelled = []
        response = await chat(state, stream=True)
        assert response.status_code == 200
        name, data = response.text.removesuffix("\n\n").split("\n\n")[-1].split("\n")
        assert name == "event: error"
        assert json.loads(data.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
        assert backend.cancelled


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/completion", {"prompt": "hi"}),
        ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
        ("/tokenize", {"content": "hi"}),
    ],
)
async def test_a_deadline_holds_for_tokenizing_too(path: str, body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def encode(*_: Any, **__: Any) -> list[int]:
        await asyncio.sleep(5)
        return []

    state, backend = scripted_state()
    state.request_timeout = 0.05
    monkeypatch.setattr(backend.tokenizer, "encode", encode)
    response = await post(state, path, **body)
    assert (response.status_code, error(response)["code"]) == (504, "deadline_exceeded")
    assert not backend.requests


@pytest.mark.parametrize("burst", [1, 3, 20])
async def test_prediction(burst: int) -> None:
    for content in ("help!!", [{"type": "text", "text": "help"}, {"type": "text", "text": "!!"}]):
        state, backend = scripted_state(lambda index: "hello")
        backend.burst = burst
        body = (await chat(state, prediction={"type": "content", "content": content})).json()
        assert backend.requests[0].prediction == list(b"help!!")
        details = body["usage"]["completion_tokens_details"]
        assert (details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]) == (3, 3)
        assert body["usage"]["completion_tokens"] == 5, "what was rejected is not among them"
        assert ("draft_n" in body["timings"]) == (burst > 1)


@pytest.mark.parametrize("burst", [1, 3, 20])
async def test_prediction_counts_what_is_used_and_no_more(burst: int) -> None:
    state, backend = scripted_state(lambda index: "hello"[index:])
    backend.burst = burst
    fields = {"prediction": {"type": "content", "content": "hello"}, "stop": "ll", "stream": True}
    got = chunks(await chat(state, **fields, n=2, stream_options={"include_usage": True}))
    usage = got[-1]["usage"]
    assert usage["completion_tokens"] == 4 + 3
    details = usage["completion_tokens_details"]
    assert (details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]) == (4 + 1, 10 - 5)


@pytest.mark.parametrize("prediction", [None, {"type": "content", "content": ""}])
async def test_an_empty_prediction_is_none(prediction: Any) -> None:
    state, backend = scripted_state()
    body = (await chat(state, prediction=prediction)).json()
    assert backend.requests[0].prediction == []
    assert body["usage"]["completion_tokens_details"]["rejected_prediction_tokens"] == 0


async def test_a_prediction_longer_than_the_context_counts_as_far_as_the_context_goes() -> None:
    state, backend = scripted_state()
    await chat(state, prediction={"type": "content", "content": "x" * 1000})
    assert len(backend.requests[0].prediction) == N_CTX
