"""The framing of `/v1/completions`, with a scripted backend."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import Completion

from tests.server.routes.client import chunks, completion, error
from tests.server.scripted import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, N_VOCAB, scripted_state


async def test_answer() -> None:
    state, backend = scripted_state()
    body = (await completion(state)).json()
    Completion.model_validate(body, strict=True)
    assert body["choices"] == [{"index": 0, "text": "hello", "logprobs": None, "finish_reason": "stop"}]
    assert (backend.requests[0].prompt, backend.requests[0].max_tokens) == ([BOS, *b"hi"], 16)
    assert body["usage"]["total_tokens"] == 8


async def test_stream() -> None:
    state, _ = scripted_state(lambda index: "ab")
    got = chunks(await completion(state, stream=True, stream_options={"include_usage": True}))
    assert [[(c["text"], c["finish_reason"]) for c in chunk["choices"]] for chunk in got] == [
        [("a", None)],
        [("b", None)],
        [("", "stop")],
        [],
    ]
    assert [chunk["usage"] and chunk["usage"]["completion_tokens"] for chunk in got] == [None, None, None, 2]


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("", [[BOS]]),
        (None, [[BOS]]),
        ("<s>a", [[BOS, BOS, 97]]),
        (["a", "b"], [[BOS, 97], [BOS, 98]]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
async def test_prompt_forms(prompt: Any, tokens: list[list[int]]) -> None:
    state, backend = scripted_state()
    assert (await completion(state, prompt=prompt)).status_code == 200
    assert [request.prompt for request in backend.requests] == tokens


async def test_several_prompts_times_n() -> None:
    state, _ = scripted_state(lambda index: "xy"[index:])
    body = (await completion(state, prompt=["a", "b"], n=2, echo=True)).json()
    assert [(c["index"], c["text"]) for c in body["choices"]] == [(0, "axy"), (1, "ay"), (2, "bxy"), (3, "by")]
    assert body["usage"]["prompt_tokens"] == 4
    got = chunks(await completion(state, prompt=["a", "b"], n=2, echo=True, stream=True))
    texts = [""] * 4
    for chunk in got:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == ["axy", "ay", "bxy", "by"]
    assert sum("timings" in chunk for chunk in got) == 1


async def test_logprobs() -> None:
    state, _ = scripted_state(lambda index: "é!")
    logprobs = (await completion(state, logprobs=2)).json()["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["bytes:\\xc3", "bytes:\\xa9", "!"]
    assert logprobs["token_logprobs"] == [-0.5, -1.0, -1.5]
    assert logprobs["text_offset"] == [2, 2, 3]
    assert logprobs["top_logprobs"][2] == {"!": -1.5, "z": -2.5}
    assert (await completion(state, logprobs=0)).json()["choices"][0]["logprobs"]["top_logprobs"][2] == {"!": -1.5}
    got = chunks(await completion(state, logprobs=2, stream=True))
    streamed = [chunk["choices"][0]["logprobs"] for chunk in got if chunk["choices"][0]["logprobs"]]
    assert [offset for part in streamed for offset in part["text_offset"]] == [2, 2, 3]


@pytest.mark.parametrize("stream", [False, True])
async def test_echo_with_the_prompts_own_logprobs(stream: bool) -> None:
    state, backend = scripted_state(lambda index: "c")
    fields: dict[str, Any] = {"prompt": "ab", "echo": True, "logprobs": 1, "stream": stream}
    response = await completion(state, **fields)
    if stream:
        choices = [chunk["choices"][0] for chunk in chunks(response)]
    else:
        choices = response.json()["choices"]
    assert "".join(choice["text"] for choice in choices) == "abc"
    parts = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    joined = {name: [item for part in parts for item in part[name]] for name in parts[0]}
    assert joined["tokens"] == ["a", "b", "c"]
    assert joined["token_logprobs"] == [-1.0, -2.0, -0.5]
    assert joined["text_offset"] == [0, 1, 2]
    assert backend.requests[0].prompt_logprobs == 1


async def test_every_choice_tells_of_the_prompt() -> None:
    state, _ = scripted_state(lambda index: "cd"[index])
    for choice, own in zip(
        (await completion(state, prompt="ab", n=2, echo=True, logprobs=1)).json()["choices"], "cd", strict=True
    ):
        assert choice["logprobs"]["tokens"] == ["a", "b", own]
        assert choice["logprobs"]["text_offset"] == [0, 1, 2]
        assert choice["logprobs"]["top_logprobs"][1] == {"b": -2.0}


async def test_what_may_be_told_of_prompts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.limits.ECHOED", 12)
    state, backend = scripted_state()
    fields: dict[str, Any] = {"prompt": ["abc", "d"], "echo": True, "n": 2}  # and a BOS before each
    assert (await completion(state, **fields, logprobs=0)).status_code == 200
    assert (await completion(state, **{**fields, "n": 3})).status_code == 200
    n_requests = len(backend.requests)
    for stream in (False, True):
        response = await completion(state, **{**fields, "n": 3}, logprobs=0, stream=stream)
        assert (response.status_code, error(response)["param"]) == (400, "echo")
    assert len(backend.requests) == n_requests


async def test_markup_in_a_prompt_takes_its_place_in_the_text() -> None:
    state, _ = scripted_state(lambda index: "c")
    choice = (await completion(state, prompt="a<s>b", echo=True, logprobs=0)).json()["choices"][0]
    assert choice["text"] == "a<s>bc"
    assert choice["logprobs"]["tokens"] == ["a", "<s>", "b", "c"]
    assert choice["logprobs"]["text_offset"] == [0, 1, 4, 5]


async def test_tokens_without_text_come_with_the_end_of_the_stream() -> None:
    state, _ = scripted_state(lambda index: [*b"ab", FIM_PREFIX])
    whole = (await completion(state, logprobs=0)).json()["choices"][0]["logprobs"]
    assert whole["tokens"] == ["a", "b", "<pre>"]
    parts = [c["choices"][0]["logprobs"] for c in chunks(await completion(state, logprobs=0, stream=True))]
    assert {name: [item for part in parts if part for item in part[name]] for name in whole} == whole


async def test_scoring_tokens() -> None:
    state, backend = scripted_state()
    body = (await completion(state, prompt=[97, 98], echo=True, logprobs=1, max_tokens=0)).json()
    (choice,) = body["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    assert choice["logprobs"]["token_logprobs"] == [0.0, -1.0]
    assert choice["logprobs"]["top_logprobs"] == [{}, {"b": -1.0}]
    assert backend.requests[0].max_tokens == 0


async def test_best_of() -> None:
    state, backend = scripted_state(lambda index: ["aaaa", "b", "", "cc"][index])
    body = (await completion(state, n=2, best_of=4)).json()
    assert [(c["index"], c["text"], c["logprobs"]) for c in body["choices"]] == [(0, "aaaa", None), (1, "b", None)]
    assert body["usage"]["completion_tokens"] == 7
    assert (backend.requests[0].n, backend.requests[0].logprobs) == (4, 0)


async def test_suffix() -> None:
    state, backend = scripted_state()
    await completion(state, prompt="a", suffix="b")
    assert backend.requests[0].prompt == [BOS, FIM_PREFIX, 97, FIM_SUFFIX, 98, FIM_MIDDLE]
    await completion(state, prompt="a", suffix="")
    assert backend.requests[1].prompt == [BOS, 97]


@pytest.mark.parametrize("prompt", ["ab", [97, 98]])
async def test_offsets_count_from_the_prompt_and_leave_out_the_suffix(prompt: Any) -> None:
    state, _ = scripted_state(lambda index: "hi")
    response = await completion(state, prompt=prompt, suffix="cdef", logprobs=0)
    assert response.json()["choices"][0]["logprobs"]["text_offset"] == [2, 3]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": [N_VOCAB]}, "prompt", "invalid_value"),
        ({"prompt": [[1], [N_VOCAB]]}, "prompt[1]", "invalid_value"),
        ({"prompt": "x" * 60, "max_tokens": 10}, "prompt", "context_length_exceeded"),
        ({"prompt": "x" * 64}, "prompt", "context_length_exceeded"),
        ({"suffix": "x", "echo": True}, "suffix", "invalid_value"),
        ({"logit_bias": {str(N_VOCAB): 1}}, "logit_bias", "invalid_value"),
    ],
)
async def test_refused(fields: dict[str, Any], param: str, code: str) -> None:
    state, backend = scripted_state()
    response = await completion(state, **fields)
    answer = error(response)
    assert (response.status_code, answer["param"], answer["code"]) == (400, param, code)
    assert backend.requests == []


async def test_the_default_limit_gives_way_to_the_context() -> None:
    state, backend = scripted_state()
    await completion(state, prompt="x" * 60)
    assert backend.requests[0].max_tokens == 3
    await completion(state, prompt="x" * 60, n_predict=-1)
    assert backend.requests[1].max_tokens == 3
