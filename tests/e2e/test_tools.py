"""Tools through the official SDK, on the demo model."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openai import BadRequestError
from openai.types.chat import ChatCompletion

from .serving import DEMO, Server

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}
TOOLS = [WEATHER, ADD]
OSLO: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
BOTH: list[Any] = [{"role": "user", "content": "What is the weather in Oslo and in Paris?"}]


def ask(server: Server, messages: list[Any], **options: Any) -> ChatCompletion:
    with server.client() as client:
        return client.chat.completions.create(model=DEMO, messages=messages, **{"temperature": 0, **options})


def calls(answer: ChatCompletion) -> list[tuple[str, Any]]:
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None
    return [
        (call.function.name, json.loads(call.function.arguments))
        for call in answer.choices[0].message.tool_calls or []
        if call.type == "function"
    ]


def test_a_round_trip(demo: Server) -> None:
    messages = list(OSLO)
    first = ask(demo, messages, tools=TOOLS)
    assert calls(first) == [("get_weather", {"city": "Oslo"})]
    message = first.choices[0].message
    assert message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"temperature": -3, "sky": "snow"}'}
    second = ask(demo, [*messages, message, result], tools=TOOLS)
    assert second.choices[0].finish_reason == "stop" and not second.choices[0].message.tool_calls
    assert "-3" in (second.choices[0].message.content or "")


def test_numbers(demo: Server) -> None:
    answer = ask(demo, [{"role": "user", "content": "What is 17 plus 25?"}], tools=TOOLS)
    assert calls(answer) == [("add", {"a": 17, "b": 25})]


def test_two_calls_at_once(demo: Server) -> None:
    oslo, paris = ("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"})
    answer = ask(demo, BOTH, tools=TOOLS)
    assert calls(answer) == [oslo, paris]
    ids = [call.id for call in answer.choices[0].message.tool_calls or []]
    assert len(set(ids)) == 2
    assert calls(ask(demo, BOTH, tools=TOOLS, parallel_tool_calls=False)) == [oslo]


def test_streaming_with_the_helper(demo: Server) -> None:
    with (
        demo.client() as client,
        client.chat.completions.stream(model=DEMO, messages=BOTH, tools=TOOLS, temperature=0) as stream,
    ):
        events = list(stream)
        final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.index, event.name, event.parsed_arguments) for event in done] == [
        (0, "get_weather", {"city": "Oslo"}),
        (1, "get_weather", {"city": "Paris"}),
    ]
    pieces = [event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert len([piece for piece in pieces if piece]) > 4, "arguments come as they are written"
    assert final.choices[0].finish_reason == "tool_calls" and final.choices[0].message.content is None


def test_every_choice_of_tool(demo: Server) -> None:
    hello: list[Any] = [{"role": "user", "content": "Hello!"}]
    assert ask(demo, hello, tools=TOOLS).choices[0].finish_reason == "stop"
    assert len(calls(ask(demo, hello, tools=TOOLS, tool_choice="required"))) >= 1
    named = {"type": "function", "function": {"name": "add"}}
    ((name, arguments),) = calls(ask(demo, OSLO, tools=TOOLS, tool_choice=named))
    assert name == "add" and arguments.keys() == {"a", "b"}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [ADD]}}
    assert {name for name, _ in calls(ask(demo, OSLO, tools=TOOLS, tool_choice=allowed))} == {"add"}
    none = ask(demo, OSLO, tools=TOOLS, tool_choice="none").choices[0]
    assert none.finish_reason == "stop" and none.message.content and not none.message.tool_calls


def test_a_forced_call_is_valid_at_any_temperature(demo: Server) -> None:
    colour = {"enum": ["red", "green"]}
    parameters = {
        "type": "object",
        "properties": {"colour": colour, "count": {"type": "integer"}, "tags": {"type": "array", "items": colour}},
        "required": ["colour", "count", "tags"],
        "additionalProperties": False,
    }
    paint = {"type": "function", "function": {"name": "paint", "strict": True, "parameters": parameters}}
    for seed in range(5):
        answer = ask(
            demo, OSLO, tools=[paint], tool_choice="required", temperature=1.5, seed=seed, max_tokens=400,
            parallel_tool_calls=False,
        )  # fmt: skip
        if answer.choices[0].finish_reason == "length":
            continue
        ((name, made),) = calls(answer)
        assert name == "paint" and made["colour"] in colour["enum"] and isinstance(made["count"], int)
        assert set(made["tags"]) <= set(colour["enum"])


def test_custom_tools(demo: Server) -> None:
    move = {
        "type": "custom",
        "custom": {
            "name": "move",
            "description": "Move a piece.",
            "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-h][1-8]-[a-h][1-8]"}},
        },
    }
    answer = ask(demo, OSLO, tools=[WEATHER, move], tool_choice={"type": "custom", "custom": {"name": "move"}})
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "custom" and call.custom.name == "move"
    start, end = call.custom.input.split("-")
    assert len(start) == len(end) == 2 and start[0] in "abcdefgh" and end[1] in "12345678"


PATCH = r"""
start: "*** Begin Patch" LF file{1,2} "*** End Patch"
file: "*** Add File: " NAME LF ("+" /.{0,12}/ LF){1,3}
NAME: /[a-z]{1,8}/ "." ("py" | "md")
%import common.LF
"""
WRITTEN = re.compile(
    r"\*\*\* Begin Patch\n(\*\*\* Add File: [a-z]{1,8}\.(py|md)\n(\+[^\n]{0,12}\n){1,3}){1,2}\*\*\* End Patch"
)


@pytest.mark.parametrize("seed", range(4))
def test_custom_tools_with_a_grammar(demo: Server, seed: int) -> None:
    """The input comes as a text, whose newlines and quotation marks the model has written as JSON does."""
    grammar = {"syntax": "lark", "definition": PATCH}
    patch = {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": grammar}}}
    choice = {"type": "custom", "custom": {"name": "patch"}}
    answer = ask(demo, OSLO, tools=[WEATHER, patch], tool_choice=choice, temperature=1.5, seed=seed)
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "custom" and WRITTEN.fullmatch(call.custom.input), call


def test_deprecated_functions(demo: Server) -> None:
    functions = [WEATHER["function"]]
    answer = ask(demo, OSLO, functions=functions).choices[0]
    assert answer.finish_reason == "function_call" and answer.message.function_call is not None
    assert json.loads(answer.message.function_call.arguments) == {"city": "Oslo"}
    result = {"role": "function", "name": "get_weather", "content": '{"temperature": -3, "sky": "snow"}'}
    second = ask(demo, [*OSLO, answer.message.model_dump(exclude_none=True), result], functions=functions)
    assert "-3" in (second.choices[0].message.content or "")
    with demo.client() as client:
        stream = client.chat.completions.create(
            model=DEMO, messages=OSLO, functions=functions, function_call={"name": "get_weather"}, stream=True,
            temperature=0,
        )  # fmt: skip
        deltas = [chunk.choices[0].delta.function_call for chunk in stream if chunk.choices[0].delta.function_call]
    assert [delta.name for delta in deltas if delta.name] == ["get_weather"]
    assert json.loads("".join(delta.arguments or "" for delta in deltas)) == {"city": "Oslo"}


def test_several_choices(demo: Server) -> None:
    answer = ask(demo, OSLO, tools=TOOLS, n=3)
    assert [choice.finish_reason for choice in answer.choices] == ["tool_calls"] * 3
    assert len({(choice.message.tool_calls or [])[0].id for choice in answer.choices}) == 3


def test_log_probabilities_of_every_token(demo: Server) -> None:
    answer = ask(demo, OSLO, tools=TOOLS, logprobs=True)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and answer.usage is not None
    text = "".join(token.token for token in logprobs.content or [])
    assert text.startswith("<tool_call>") and text.rstrip().endswith("</tool_call>")
    assert len(logprobs.content or []) == answer.usage.completion_tokens


def test_errors(demo: Server) -> None:
    strict = {"type": "object", "properties": {"a": {"type": "string", "format": "no-such-format"}}}
    broken = {"type": "function", "function": {"name": "f", "strict": True, "parameters": strict}}
    for options, param in (
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": [broken]}, "tools[0].function.parameters.properties.a.format"),
    ):
        with pytest.raises(BadRequestError) as refused:
            ask(demo, OSLO, **options)
        assert refused.value.param == param
