"""What the two request models take, and what it means."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backends.base import SAMPLERS, SamplingParams
from server.config.sampling import SAMPLING_FLAGS, SamplingFlag
from server.errors import APIError
from server.native.settings import request_settings
from server.schemas.chat import ChatCompletionRequest
from server.schemas.messages import as_sent
from server.schemas.native import NativeOptions
from server.schemas.validation import validate
from tests.server.schemas.bodies import chat, completion

WITHOUT_EFFECT: dict[str, Any] = {
    "user": "u",
    "metadata": {"key": "value"},
    "store": True,
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "30m", "mode": "implicit"},
    "safety_identifier": "s" * 64,
    "parallel_tool_calls": True,
    "verbosity": "low",
    "reasoning_effort": "high",
    "prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]},
    "modalities": ["text"],
    "response_format": {"type": "text"},
    "tools": [],
    "tool_choice": "auto",
    "function_call": "none",
    "a field that nobody has heard of": {"x": [1]},
}

NOT_SUPPORTED: dict[str, Any] = {
    "modalities": ["text", "audio"],
    "audio": {"voice": {"id": "v"}, "format": "mp3"},
    "web_search_options": {},
    "moderation": {"model": "m"},
    "post_sampling_probs": True,
}


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_accepted_without_effect(name: str) -> None:
    chat(**{name: WITHOUT_EFFECT[name]})


@pytest.mark.parametrize("name", NOT_SUPPORTED)
def test_said_to_be_unsupported(name: str) -> None:
    with pytest.raises(APIError, match=r"support|has no") as caught:
        chat(**{name: NOT_SUPPORTED[name]})
    assert (caught.value.status, caught.value.param) == (400, name)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_required(name: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    del body[name]
    with pytest.raises(APIError) as caught:
        validate(ChatCompletionRequest, body)
    assert (caught.value.param, caught.value.code) == (name, "missing_required_parameter")


@pytest.mark.parametrize("body", [[], "x", 5, None])
def test_a_body_is_an_object(body: Any) -> None:
    with pytest.raises(APIError, match="object"):
        validate(ChatCompletionRequest, body)


def test_messages_are_kept_as_sent() -> None:
    sent: list[dict[str, Any]] = [
        {"role": "developer", "content": "d"},
        {"role": "system", "content": [{"type": "text", "text": "s"}], "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "r", "tool_call_id": "1"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "function", "content": None, "name": "f"},
    ]
    assert [as_sent(message) for message in chat(messages=sent).messages] == sent


def test_calls_of_those_who_make_none_are_left_out() -> None:
    (message,) = chat(messages=[{"role": "user", "content": "hi", "tool_calls": True}]).messages
    assert as_sent(message) == {"role": "user", "content": "hi"}


def test_an_integer_may_be_written_with_a_point() -> None:
    assert chat(n=2.0, max_tokens=8.0).n == 2


def test_limits() -> None:
    assert chat().completion_limit is None
    assert chat(max_tokens=5, max_completion_tokens=7).completion_limit == 7
    assert chat(n_predict=3).completion_limit == 3
    assert chat(n_predict=-1).completion_limit is None
    assert completion().completion_limit == 16
    assert completion(max_tokens=0).completion_limit == 0
    assert completion(n_predict=-1).completion_limit is None


def test_no_limit() -> None:
    """As llama-server's web page asks for it."""
    fields: dict[str, Any]
    for fields in (
        {"max_tokens": -1},
        {"max_completion_tokens": -1, "max_tokens": 5},
        {"max_tokens": -1, "n_predict": 5},
    ):
        request = chat(**fields)
        assert (request.limit, request.completion_limit) == (-1, None)
    assert completion(max_tokens=-1, n_predict=5).completion_limit is None


@pytest.mark.parametrize(
    ("sent", "prompts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (None, [""]),
        ("", [""]),
    ],
)
def test_prompts(sent: Any, prompts: list[Any]) -> None:
    assert completion(prompt=sent).prompts == prompts


def test_best_of() -> None:
    assert completion(best_of=5, n=2).candidates == 5
    assert completion(n=2).candidates == 2
    for fields in ({"best_of": 2, "n": 3}, {"best_of": 2, "stream": True}):
        with pytest.raises(APIError) as caught:
            completion(**fields)
        assert caught.value.param == "best_of"


def test_stop_strings() -> None:
    assert chat(stop="a").stop_strings == ["a"]
    assert chat(stop=["a", "", "b"]).stop_strings == ["a", "b"]
    assert chat(stop=[]).stop_strings == []
    assert chat(stop=[str(number) for number in range(64)]).stop_strings


def test_biases_in_pairs() -> None:
    biases = chat(logit_bias=[[15043, 1.5], ["Hello", -0.5], [2, False]]).logit_bias
    assert biases == {"15043": 1.5, "Hello": -0.5, "2": False}
    assert completion(logit_bias=[]).logit_bias == {}


@pytest.mark.parametrize("make", [chat, completion])
def test_the_parameters_that_props_tells(make: Any) -> None:
    """Clients take them from there, change some and send all."""
    defaults = SamplingParams()
    request = make(**request_settings(NativeOptions(n_predict=-1), defaults, []))
    assert (request.completion_limit, request.stop_strings, request.logit_bias) == (None, [], {})
    assert (request.temperature, request.top_k, request.samplers) == (
        defaults.temperature,
        defaults.top_k,
        defaults.samplers,
    )


@pytest.mark.parametrize("flag", SAMPLING_FLAGS, ids=lambda flag: flag.name)
def test_a_request_takes_what_a_flag_takes(flag: SamplingFlag) -> None:
    for edge in (flag.ge, flag.le):
        if edge is not None:
            assert getattr(chat(**{flag.name: edge}), flag.name) == edge


def test_samplers_by_name_and_by_letter() -> None:
    assert chat(samplers="fkt").samplers == ("tfs_z", "top_k", "temperature")
    assert chat(samplers=["typical_p", "top-p", "MinP", "temp"]).samplers == ("typ_p", "top_p", "min_p", "temperature")
    assert chat(samplers=[]).samplers == ()
    every = chat(samplers="edskfypmxtia").samplers
    assert every == SAMPLERS
    assert every[-2:] == ("infill", "adaptive_p")
    assert chat(samplers=["top_k", "top_p", "infill"]).samplers == chat(samplers="kpi").samplers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata", {str(number): number for number in range(20)}),
        ("stop", [0] * 20),
        ("modalities", [0] * 20),
        ("messages", [{"role": "assistant", "tool_calls": [0] * 20}]),
        ("tool_choice", {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [0] * 20}}),
    ],
)
def test_one_fault_is_enough(name: str, value: Any) -> None:
    """Millions of faults would take the event loop's time for seconds, to tell of one."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], name: value}
    with pytest.raises(ValidationError) as caught:
        ChatCompletionRequest.model_validate(body)
    assert caught.value.error_count() == 1


def test_too_many_sequences() -> None:
    with pytest.raises(APIError, match="1024"):
        completion(prompt=["a"] * 100, n=20)
