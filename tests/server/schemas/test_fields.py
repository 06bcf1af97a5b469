"""Every field of OpenAI's two request schemas: a wrong type or an excess is a 400 that names the field."""

from __future__ import annotations

from typing import Any

import pytest

from server.errors import APIError
from server.schemas.messages import as_sent
from server.toolset import toolset
from tests.server.schemas.bodies import chat, completion

NOT_A_STRING: list[Any] = [5, 1.5, True, [], {}]
NOT_A_NUMBER: list[Any] = ["1", "x", True, False, [], {}]
NOT_AN_INTEGER: list[Any] = [*NOT_A_NUMBER, 1.5]
NOT_A_BOOLEAN: list[Any] = ["true", 0, 1, 1.0, [], {}]
NOT_AN_OBJECT: list[Any] = ["x", 5, True, []]
NOT_A_LIST: list[Any] = ["x", 5, True, {}]
NOT_AN_ENUM: list[Any] = ["no-such-value", "", *NOT_A_STRING]

SHARED: dict[str, list[Any]] = {
    "model": [None, *NOT_A_STRING],
    "frequency_penalty": [*NOT_A_NUMBER, -2.1, 2.1, 10**400],
    "presence_penalty": [*NOT_A_NUMBER, -2.1, 2.1],
    "temperature": [*NOT_A_NUMBER, -0.1, 2.1],
    "top_p": [*NOT_A_NUMBER, -0.1, 1.1],
    "n": [*NOT_AN_INTEGER, 0, -1, 129, 10**30],
    "seed": [*NOT_AN_INTEGER, 2**64, -(2**64)],
    "stop": [5, True, {}, [5], ["a", None], ["a"] * 65, "a" * 2000],
    "stream": NOT_A_BOOLEAN,
    "stream_options": [
        *NOT_AN_OBJECT,
        {},
        {"include_usage": "yes"},
        {"include_usage": None},
        {"include_obfuscation": 1},
    ],
    "logit_bias": [
        *("x", 5, True, {"1": "x"}, {"1": None}, {"1": True}, {"1": 101}, {"1": -101}, {"1": [1]}),
        *([5], [[1]], [[1, 2, 3]], [[1, "x"]], [[1, None]], [[1, True]], [[1, 101]], [[1, [1]]], [[True, 1]]),
        *([[1.5, 1]], [["5", 1]], [["-5", 1]], [[10**30, 1]], [[None, 1]], [{"token": 1, "bias": 1}]),
        [[1, 1]] * 10_001,
    ],
    "user": [None, *NOT_A_STRING],
}

CHAT: dict[str, list[Any]] = {
    **SHARED,
    "messages": [
        None,
        *NOT_A_LIST,
        [],
        ["hi"],
        [{}],
        [{"role": "nobody", "content": "hi"}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": ["hi"]}],
        [{"role": "user", "content": [{"type": "text"}]}],
        [{"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x", "detail": "huge"}}]}],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "aiff"}}]}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_id": 5}}]}],
        [{"role": "user", "content": "hi", "name": 5}],
        [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "developer", "content": 5}],
        [{"role": "assistant", "content": 5}],
        [{"role": "assistant", "refusal": 5}],
        [{"role": "assistant", "tool_calls": {}}],
        [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}],
        [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}],
        [{"role": "assistant", "function_call": {"name": "f"}}],
        [{"role": "assistant", "audio": {}}],
        [{"role": "tool", "content": "hi"}],
        [{"role": "tool", "content": None, "tool_call_id": "1"}],
        [{"role": "function", "content": "hi"}],
    ],
    "max_tokens": [*NOT_AN_INTEGER, 0, -2],
    "max_completion_tokens": [*NOT_AN_INTEGER, 0, -2],
    "logprobs": [*NOT_A_BOOLEAN, 5],
    "top_logprobs": [*NOT_AN_INTEGER, -1, 21, 5],
    "audio": [*NOT_AN_OBJECT, {}, {"voice": "alloy"}, {"voice": 5, "format": "mp3"}, {"voice": "a", "format": "x"}],
    "modalities": [*NOT_A_LIST, ["video"], [5]],
    "metadata": [
        *NOT_AN_OBJECT,
        {"a": 5},
        {"a": None},
        {"a" * 65: "x"},
        {"a": "x" * 513},
        {str(key): "" for key in range(17)},
    ],
    "service_tier": NOT_AN_ENUM,
    "reasoning_effort": NOT_AN_ENUM,
    "verbosity": NOT_AN_ENUM,
    "prediction": [
        *NOT_AN_OBJECT,
        {},
        {"type": "content"},
        {"type": "x", "content": "x"},
        {"type": "content", "content": 5},
    ],
    "web_search_options": [
        None,
        *NOT_AN_OBJECT,
        {"search_context_size": "huge"},
        {"user_location": {"type": "exact"}},
        {"user_location": {"type": "approximate", "approximate": {"city": 5}}},
    ],
    "store": NOT_A_BOOLEAN,
    "moderation": [*NOT_AN_OBJECT, {}, {"model": 5}, {"model": "x", "policy": {"input": {"mode": "x"}}}],
    "prompt_cache_key": NOT_A_STRING,
    "prompt_cache_retention": NOT_AN_ENUM,
    "prompt_cache_options": [None, *NOT_AN_OBJECT, {"ttl": "1y"}, {"mode": "x"}],
    "safety_identifier": [*NOT_A_STRING, "x" * 65],
    "parallel_tool_calls": [*NOT_A_BOOLEAN],
    "response_format": [
        *NOT_AN_OBJECT,
        {},
        {"type": "yaml"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": None},
        {"type": "json_schema", "json_schema": {"name": 5}},
        {"type": "json_schema", "json_schema": {"schema": 5}},
        {"type": "json_schema", "schema": None},
        {"type": "json_schema", "schema": 5},
    ],
    "tools": [
        *NOT_A_LIST,
        [{}],
        [{"type": "function"}],
        [{"type": "function", "function": {}}],
        [{"type": "function", "function": {"name": "f", "parameters": "x"}}],
        [{"type": "custom", "custom": {"name": "f", "format": {"type": "x"}}}],
    ],
    "tool_choice": [
        "maybe",
        5,
        True,
        [],
        {},
        {"type": "function"},
        {"type": "allowed_tools", "allowed_tools": {}},
    ],
    "functions": [*NOT_A_LIST, [], [{}], [{"name": 5}], [{"name": "f"}] * 129],
    "function_call": ["maybe", 5, [], {}, {"name": 5}],
}

COMPLETION: dict[str, list[Any]] = {
    **SHARED,
    "prompt": [
        5,
        True,
        {},
        [],
        [None],
        ["a", 5],
        [1, "a"],
        [1.5],
        [-1],
        [[]],
        [[1], []],
        [[1], "a"],
        [[1, "a"]],
        [True],
    ],
    "best_of": [*NOT_AN_INTEGER, -1, 21],
    "echo": NOT_A_BOOLEAN,
    "logprobs": [*NOT_AN_INTEGER, -1, 6],
    "max_tokens": [*NOT_AN_INTEGER, -2],
    "suffix": NOT_A_STRING,
}

SAMPLERS: dict[str, list[Any]] = {
    "top_k": [*NOT_AN_INTEGER, 2**31],
    "min_p": [*NOT_A_NUMBER, -0.1, 1.1],
    "tfs_z": [*NOT_A_NUMBER, -0.1],
    "typical_p": [*NOT_A_NUMBER, -0.1],
    "typ_p": [*NOT_A_NUMBER, -0.1],
    "top_n_sigma": [*NOT_A_NUMBER, 1e39],
    "xtc_probability": [*NOT_A_NUMBER, -0.1, 1.1],
    "xtc_threshold": [*NOT_A_NUMBER, -0.1, 1.1],
    "dynatemp_range": [*NOT_A_NUMBER, -0.1],
    "dynatemp_exponent": [*NOT_A_NUMBER, -0.1],
    "mirostat": [*NOT_AN_INTEGER, -1, 3],
    "mirostat_mode": [*NOT_AN_INTEGER, -1, 3],
    "mirostat_tau": [*NOT_A_NUMBER, -0.1],
    "mirostat_eta": [*NOT_A_NUMBER, -0.1],
    "repeat_penalty": [*NOT_A_NUMBER, 0, -1],
    "repetition_penalty": [*NOT_A_NUMBER, 0, -1],
    "repeat_last_n": [*NOT_AN_INTEGER, -2],
    "dry_multiplier": [*NOT_A_NUMBER, -0.1],
    "dry_base": [*NOT_A_NUMBER, -0.1],
    "dry_allowed_length": [*NOT_AN_INTEGER, -1],
    "dry_penalty_last_n": [*NOT_AN_INTEGER, -2],
    "dry_sequence_breakers": [*NOT_A_LIST, [5], [""]],
    "adaptive_target": [*NOT_A_NUMBER, 1.1],
    "adaptive_decay": [*NOT_A_NUMBER, -0.1, 1.0],
    "min_keep": [*NOT_AN_INTEGER, -1],
    "ignore_eos": NOT_A_BOOLEAN,
    "min_tokens": [*NOT_AN_INTEGER, -1],
    "samplers": [5, True, {}, [5], ["no such sampler"], "q", ["top_k"] * 33],
    "logit_bias_type": NOT_AN_ENUM,
    "n_predict": [*NOT_AN_INTEGER, -2],
    "cache_prompt": NOT_A_BOOLEAN,
    "timings_per_token": NOT_A_BOOLEAN,
    "return_progress": NOT_A_BOOLEAN,
    "sse_ping_interval": [*NOT_AN_INTEGER, -2],
}


def _cases(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}={str(value)[:40]}") for name, values in table.items() for value in values
    ]


def _refused(make: Any, name: str, value: Any) -> None:
    with pytest.raises(APIError) as caught:
        make(**{name: value})
    error = caught.value
    assert error.status == 400
    assert error.kind == "invalid_request_error"
    assert error.param is not None
    assert error.param == name or error.param.startswith((f"{name}.", f"{name}["))
    assert name in error.message


@pytest.mark.parametrize(("name", "value"), _cases(CHAT | SAMPLERS))
def test_chat_refuses(name: str, value: Any) -> None:
    _refused(chat, name, value)


@pytest.mark.parametrize(("name", "value"), _cases(COMPLETION | SAMPLERS))
def test_completions_refuse(name: str, value: Any) -> None:
    _refused(completion, name, value)


@pytest.mark.parametrize("name", sorted({*SHARED, *SAMPLERS, "max_tokens", "logprobs"} - {"model", "user"}))
def test_null_is_the_default(name: str) -> None:
    assert getattr(chat(**{name: None}), name) is None
    assert getattr(completion(**{name: None}), name) is None


TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format")


@pytest.mark.parametrize("name", TOOL_FIELDS)
def test_null_is_the_default_in_chats(name: str) -> None:
    """Frameworks send what they leave open so, whatever OpenAI's document says."""
    assert getattr(chat(**{name: None}), name) is None


def test_null_inside_of_tools_and_messages() -> None:
    empty = {"name": "f", "description": None, "parameters": None, "strict": None}
    custom = {"type": "custom", "custom": {"name": "g", "description": None, "format": None}}
    request = chat(
        tools=[{"type": "function", "function": empty}, custom],
        messages=[{"role": "assistant", "content": "a", "tool_calls": None, "function_call": None}],
    )
    (function, _) = toolset(request).described
    assert function["function"]["description"] == "" and function["function"]["parameters"]["properties"] == {}
    assert as_sent(request.messages[0]) == {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}], "messages[1].tool_call_id"),
        ([{"content": "a"}], "messages[0].role"),
        ([{"role": "king", "content": "a"}], "messages[0].role"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}],
            "messages[0].tool_calls[0].function.arguments",
        ),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content[0]"),
    ],
)
def test_param_leads_to_the_fault(value: Any, param: str) -> None:
    with pytest.raises(APIError) as caught:
        chat(messages=value)
    assert caught.value.param == param
