"""/completion: llama-server's body."""

from __future__ import annotations

import math
from typing import Any

import pytest

from backends.base import BackendError
from tests.server.routes.client import call, error
from tests.server.routes.native_client import FINAL, PIECE, answer, events, send
from tests.server.scripted import (
    BOS,
    N_CTX,
    N_VOCAB,
    scripted_state,
)


async def test_whole() -> None:
    state, backend = scripted_state()
    final = await answer(state, prompt="<s>hi", model="org/m:q4")
    assert set(final) == FINAL
    assert (final["content"], final["tokens"], final["stop"]) == ("hello", [], True)
    assert (final["stop_type"], final["stopping_word"], final["truncated"]) == ("eos", "", False)
    assert (final["tokens_predicted"], final["tokens_evaluated"], final["tokens_cached"]) == (5, 4, 9)
    assert (final["index"], final["id_slot"], final["model"]) == (0, -1, "org/m:q4")
    assert final["prompt"] == "<s><s>hi"
    assert final["timings"]["predicted_n"] == 5
    assert final["timings"]["cache_n"] == 1
    assert backend.requests[0].max_tokens == N_CTX - 4, "as many as fit"


async def test_stream() -> None:
    state, _ = scripted_state(lambda index: "hé")
    *pieces, final = await events(state, id_slot=2)
    assert all(set(piece) == PIECE for piece in pieces)
    assert [piece["content"] for piece in pieces] == ["h", "é"]
    assert [piece["tokens"] for piece in pieces] == [[ord("h")], list("é".encode())]
    assert [piece["tokens_predicted"] for piece in pieces] == [1, 3]
    assert {piece["id_slot"] for piece in pieces} == {2}
    assert set(final) == FINAL
    assert (final["content"], final["tokens"], final["stop"], final["tokens_predicted"]) == ("", [], True, 3)


async def test_progress_and_timings() -> None:
    state, _ = scripted_state(lambda index: "h")
    progress, piece, final = await events(state, return_progress=True, timings_per_token=True)
    assert (progress["content"], progress["stop"]) == ("", False)
    assert {**progress["prompt_progress"], "time_ms": 0} == {"total": 3, "cache": 1, "processed": 3, "time_ms": 0}
    assert piece["timings"].keys() == final["timings"].keys()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"n_predict": 2}, {"content": "a\n", "stop_type": "limit", "truncated": False, "has_new_line": True}),
        ({"max_tokens": 2}, {"content": "a\n", "stop_type": "limit"}),
        ({"n_predict": 1, "max_completion_tokens": 2}, {"content": "a"}),
        ({"n_predict": 0}, {"content": "", "stop_type": "limit", "tokens_predicted": 0, "tokens_cached": 3}),
        ({"n_predict": -1}, {"stop_type": "eos", "truncated": False}),
        ({"stop": ["b", "c"]}, {"content": "a\n ", "stop_type": "word", "stopping_word": "b", "tokens_predicted": 4}),
        ({"stop": []}, {"content": "a\n bc", "stop_type": "eos"}),
        ({"n_indent": 2}, {"content": "a\n ", "stop_type": "limit", "has_new_line": True, "tokens_predicted": 4}),
        ({"n_indent": 1}, {"content": "a\n bc", "stop_type": "eos"}),
        ({"return_tokens": True, "n_predict": 3}, {"tokens": [97, 10, 32]}),
    ],
)
@pytest.mark.parametrize("burst", [1, 2, 5])
async def test_how_it_ends(fields: dict[str, Any], expected: dict[str, Any], burst: int) -> None:
    for stream in (False, True):
        state, backend = scripted_state(lambda index: "a\n bc")
        backend.burst = burst
        if stream:
            *pieces, final = await events(state, **fields)
            final["content"] = "".join(piece["content"] for piece in pieces)
            if fields.get("return_tokens"):
                final["tokens"] = [token for piece in pieces for token in piece["tokens"]]
        else:
            final = await answer(state, **fields)
        assert {name: final[name] for name in expected} == expected


async def test_the_contexts_end() -> None:
    state, backend = scripted_state(lambda index: "x" * 100)
    for n_predict in (-1, 1000):
        final = await answer(state, prompt="a" * 50, n_predict=n_predict)
        assert backend.requests[-1].max_tokens == N_CTX - 51
        assert (final["truncated"], final["stop_type"], len(final["content"])) == (True, "limit", N_CTX - 51)
    response = await send(state, prompt="a" * N_CTX)
    assert (response.status_code, error(response)["code"]) == (400, "context_length_exceeded")


async def test_the_servers_own_limit() -> None:
    state, _ = scripted_state(n_predict=3)
    assert (await answer(state))["content"] == "hel"
    assert (await answer(state, n_predict=-1))["content"] == "hello"
    assert (await answer(state))["truncated"] is False


async def test_a_step_of_several_tokens_ends_at_the_line_that_is_late() -> None:
    state, backend = scripted_state(lambda index: "abcdefghi\njklm")
    backend.burst, backend.pace = 4, 0.02
    final = await answer(state, t_max_predict_ms=1)
    assert (final["content"], final["tokens_predicted"]) == ("abcdefghi\n", 10)
    assert (final["timings"]["draft_n"], final["timings"]["draft_n_accepted"]) == (9, 9)


async def test_t_max_predict_ms() -> None:
    state, backend = scripted_state(lambda index: "ab\ncd" if index else "x" * 9)
    backend.pace = 0.02
    first, second = await answer(state, t_max_predict_ms=1, n=2)
    assert (first["content"], first["stop_type"]) == ("x" * 9, "eos"), "only at the end of a line"
    assert (second["content"], second["stop_type"]) == ("ab\n", "limit")


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("ab", [[BOS, 97, 98]]),
        ("", [[BOS]]),
        ([97, 98], [[97, 98]]),
        ([97, "b", 99, "<s>"], [[97, 98, 99, BOS]]),
        (["a", 98], [[BOS, 97, 98]]),
        (["a", "b"], [[BOS, 97], [BOS, 98]]),
        ([[97], "b", ["c", 100]], [[97], [BOS, 98], [BOS, 99, 100]]),
        ({"prompt_string": "a"}, [[BOS, 97]]),
        ([{"prompt_string": "a"}, [98]], [[BOS, 97], [98]]),
    ],
)
async def test_prompts(prompt: Any, tokens: list[list[int]]) -> None:
    state, backend = scripted_state()
    final = await answer(state, prompt=prompt)
    assert [request.prompt for request in backend.requests] == tokens
    assert isinstance(final, list) == (len(tokens) > 1)


async def test_several() -> None:
    state, _ = scripted_state(lambda index: "ab"[index] * 2)
    finals = await answer(state, prompt=["p", "q"], n_cmpl=2)
    assert [(f["index"], f["prompt"], f["content"]) for f in finals] == [
        (0, "<s>p", "aa"),
        (1, "<s>p", "bb"),
        (2, "<s>q", "aa"),
        (3, "<s>q", "bb"),
    ]
    seen = await events(state, prompt=["p", "q"], n_cmpl=2)
    for index, text in enumerate(["aa", "bb"] * 2):
        own = [event for event in seen if event["index"] == index]
        assert "".join(event["content"] for event in own) == text
        assert [event["stop"] for event in own] == [False, False, True]


async def test_probabilities() -> None:
    state, _ = scripted_state(lambda index: "hé")
    final = await answer(state, n_probs=2)
    first = final["completion_probabilities"][0]
    z = {"id": 122, "token": "z", "bytes": [122], "logprob": -1.5}
    h = {"id": 104, "token": "h", "bytes": [104], "logprob": -0.5}
    assert first == {**h, "top_logprobs": [h, z]}
    assert [entry["token"] for entry in final["completion_probabilities"]] == ["h", "\ufffd", "\ufffd"]
    *pieces, final = await events(state, logprobs=1)
    assert [len(piece["completion_probabilities"]) for piece in pieces] == [1, 2]
    assert "completion_probabilities" not in final
    assert "completion_probabilities" not in await answer(state, n_probs=0)
    only = await answer(state, n_probs=2, response_fields=["completion_probabilities"])
    assert only == {"completion_probabilities": [first, *only["completion_probabilities"][1:]]}


async def test_response_fields() -> None:
    state, _ = scripted_state()
    fields = ["content", "generation_settings/top_k", "timings", "nothing", "content/x", "prompt/0"]
    final = await answer(state, response_fields=fields, top_k=7)
    assert set(final) == {"content", "generation_settings/top_k", "timings"}
    assert final["generation_settings/top_k"] == 7
    assert set((await events(state, response_fields=["stop"]))[-1]) == {"stop"}


@pytest.mark.parametrize(
    ("given", "biases"),
    [
        ([[97, 1.5], ["bc", -2], [5, False]], {97: 1.5, 98: -2.0, 99: -2.0, 5: -math.inf}),
        ({"97": 1, "b": False}, {97: 1.0, 98: -math.inf}),
        ([["5", 1]], {53: 1.0}),
        ([], {}),
        ([[97, 1000]], {97: 1000.0}),
    ],
)
async def test_logit_bias(given: Any, biases: dict[int, float]) -> None:
    state, backend = scripted_state()
    final = await answer(state, logit_bias=given)
    assert backend.requests[0].sampling.logit_bias == biases
    shown = {entry["token"]: entry["bias"] for entry in final["generation_settings"]["logit_bias"]}
    assert shown == {token: None if math.isinf(bias) else bias for token, bias in biases.items()}


async def test_settings() -> None:
    state, backend = scripted_state()
    fields = {"temperature": 3.5, "typ_p": 0.5, "repeat_penalty": 1.2, "seed": 7, "samplers": "kt", "tfs_z": 0.9}
    final = await answer(state, **fields, presence_penalty=5, cache_prompt=False, stop="x")
    sampling = backend.requests[0].sampling
    assert (sampling.temperature, sampling.typical_p, sampling.presence_penalty) == (3.5, 0.5, 5)
    assert backend.requests[0].cache_prompt is False
    shown = final["generation_settings"]
    assert (shown["temperature"], shown["typical_p"], shown["seed"], shown["stop"]) == (3.5, 0.5, 7, ["x"])
    assert shown["samplers"] == ["top_k", "temperature"]
    props = (await call(state, "GET", "/props")).json()["default_generation_settings"]["params"]
    assert props.keys() == shown.keys()


ACCEPTED: dict[str, Any] = {
    "id_slot": 3,
    "n_keep": -1,
    "n_discard": 5,
    "n_cache_reuse": 256,
    "grammar": "",
    "json_schema": None,
    "lora": [],
    "post_sampling_probs": False,
    "temperature": -1,
    "stream": None,
    "sse_ping_interval": -1,
    "unknown": {},
}


async def test_accepted_without_effect() -> None:
    state, _ = scripted_state()
    assert (await answer(state, **ACCEPTED))["content"] == "hello"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [1, [2]]}, "prompt"),
        ({"prompt": {"prompt_string": "a", "multimodal_data": ["x"]}}, "prompt"),
        ({"prompt": [N_VOCAB]}, "prompt"),
        ({"prompt": ["a", [-1]]}, "prompt[1]"),
        ({"n_predict": "5"}, "n_predict"),
        ({"n_predict": -2}, "n_predict"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n_cmpl": 0}, "n_cmpl"),
        ({"n": 129}, "n"),
        ({"prompt": ["a"] * 100, "n_cmpl": 20}, "prompt"),
        ({"n_probs": -1}, "n_probs"),
        ({"logprobs": True}, "logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stop": [5]}, "stop[0]"),
        ({"stop": 5}, "stop"),
        ({"response_fields": "content"}, "response_fields"),
        ({"logit_bias": [[1]]}, "logit_bias"),
        ({"logit_bias": [[1, "x"]]}, "logit_bias"),
        ({"logit_bias": [[1, True]]}, "logit_bias"),
        ({"logit_bias": [[1.5, 1]]}, "logit_bias"),
        ({"logit_bias": [[N_VOCAB, 1]]}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": "x"}, "logit_bias"),
        ({"temperature": "hot"}, "temperature"),
        ({"min_p": 2}, "min_p"),
        ({"id_slot": "a"}, "id_slot"),
        ({"t_max_predict_ms": "x"}, "t_max_predict_ms"),
        ({"grammar": "root ::= b"}, "grammar"),
        ({"grammar": 5}, "grammar"),
        ({"json_schema": 5}, "json_schema"),
        ({"json_schema": {}, "grammar": 'root ::= "a"'}, "grammar"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice"),
        ({"lora": [{"id": 0}]}, "lora[0].scale"),
        ({"lora": [{"id": 0, "scale": 1}]}, "lora"),
        ({"post_sampling_probs": True}, "post_sampling_probs"),
    ],
)
async def test_refused(body: dict[str, Any], param: str) -> None:
    state, backend = scripted_state()
    response = await send(state, **body)
    assert (response.status_code, error(response)["param"]) == (400, param)
    assert error(response)["type"] == "invalid_request_error"
    assert not backend.requests


async def test_other_errors() -> None:
    state, backend = scripted_state()
    assert (await call(state, "POST", "/completion", json={})).json()["error"]["param"] == "prompt"
    assert (await send(state, model="nobody")).status_code == 404
    backend.fail_after, backend.failure = 1, BackendError("broken")
    assert (await send(state)).status_code == 500
    response = await send(state, stream=True)
    assert 'event: error\ndata: {"error":{"message":"broken"' in response.text
    state, _ = scripted_state(loaded=False)
    assert (await send(state)).status_code == 503


async def test_a_random_seed_that_is_sent_back_is_random_again() -> None:
    state, backend = scripted_state()
    shown = (await answer(state))["generation_settings"]["seed"]
    props = (await call(state, "GET", "/props")).json()["default_generation_settings"]["params"]
    assert shown == props["seed"] == 4294967295
    assert (await answer(state, seed=shown))["generation_settings"]["seed"] == shown
    await call(state, "POST", "/v1/completions", json={"model": "m", "prompt": "hi", "seed": shown})
    assert [request.sampling.seed for request in backend.requests] == [None, None, None]
