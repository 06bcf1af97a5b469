"""The official SDK's pydantic helpers for tools, and conversations that go through them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
from openai.types.chat import ParsedChatCompletion
from pydantic import BaseModel, Field

from .serving import DEMO, Server
from .shapes import SHAPES, Colour, Text
from .test_tools import BOTH, OSLO, TOOLS

SUM: list[Any] = [{"role": "user", "content": "What is 17 plus 25?"}]


class GetWeather(BaseModel):
    """Get the current weather for a city."""

    city: str


class Add(BaseModel):
    """Add two numbers."""

    a: float
    b: float


PYDANTIC_TOOLS: list[Any] = [
    openai.pydantic_function_tool(GetWeather, name="get_weather"),
    openai.pydantic_function_tool(Add, name="add"),
]


class Report(BaseModel):
    city: Text
    sky: Colour
    temperature: int = Field(ge=-50, le=50)


def result(call: Any, value: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.id, "content": json.dumps(value)}


def parse(server: Server, messages: list[Any], **options: Any) -> ParsedChatCompletion[Any]:
    with server.client() as client:
        return client.chat.completions.parse(
            model=DEMO, messages=messages, **{"temperature": 0, "tools": PYDANTIC_TOOLS, **options}
        )


def parsed_calls(answer: ParsedChatCompletion[Any]) -> list[Any]:
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.parsed is None
    return [call.function.parsed_arguments for call in answer.choices[0].message.tool_calls or []]


def test_arguments_as_models(demo: Server) -> None:
    assert parsed_calls(parse(demo, OSLO)) == [GetWeather(city="Oslo")]
    assert parsed_calls(parse(demo, SUM)) == [Add(a=17, b=25)]
    assert parsed_calls(parse(demo, BOTH)) == [GetWeather(city="Oslo"), GetWeather(city="Paris")]
    assert not parse(demo, [{"role": "user", "content": "Hello!"}]).choices[0].message.tool_calls


def test_every_shape_as_arguments(demo: Server) -> None:
    for shape in SHAPES:
        tools = [openai.pydantic_function_tool(shape)]
        choice = {"type": "function", "function": {"name": shape.__name__}}
        answer = parse(demo, OSLO, tools=tools, tool_choice=choice, temperature=1.5, seed=1, max_tokens=1000)
        (arguments,) = parsed_calls(answer)
        assert type(arguments) is shape


def test_a_round_trip_of_parallel_calls(demo: Server) -> None:
    first = parse(demo, BOTH).choices[0].message
    oslo, paris = first.tool_calls or []
    results = [result(paris, {"temperature": 18, "sky": "sun"}), result(oslo, {"temperature": -3, "sky": "snow"})]
    for ordered in (results, results[::-1]):
        second = parse(demo, [*BOTH, first, *ordered]).choices[0]
        assert second.finish_reason == "stop" and second.message.content and not second.message.tool_calls


def test_streamed_round_trip(demo: Server) -> None:
    """Message by message as an agent would, each one streamed and sent back as the helper has put it together."""
    messages = list(OSLO)
    with demo.client() as client:
        for _ in range(2):
            with client.chat.completions.stream(
                model=DEMO, messages=messages, tools=PYDANTIC_TOOLS, temperature=0
            ) as stream:
                events = list(stream)
                message = stream.get_final_completion().choices[0].message
            messages.append(message)
            done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
            assert [event.parsed_arguments for event in done] == [
                call.function.parsed_arguments for call in message.tool_calls or []
            ]
            messages += [result(call, {"temperature": -3, "sky": "snow"}) for call in message.tool_calls or []]
    assert [message["role"] if isinstance(message, dict) else message.role for message in messages] == [
        "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert "-3" in messages[-1].content


def test_arguments_as_they_are_written(demo: Server) -> None:
    with (
        demo.client() as client,
        client.chat.completions.stream(model=DEMO, messages=SUM, tools=PYDANTIC_TOOLS, temperature=0) as stream,
    ):
        deltas = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion()
    assert parsed_calls(final) == [Add(a=17, b=25)]
    assert {(event.name, event.index) for event in deltas} == {("add", 0)}
    assert "".join(event.arguments_delta for event in deltas) == deltas[-1].arguments
    growing = [event.parsed_arguments for event in deltas]
    assert {"a": 17} in growing and growing[-1] == {"a": 17, "b": 25}


def test_tools_and_a_format(demo: Server) -> None:
    """A call where one is needed, and an object of that format as the answer."""
    options: dict[str, Any] = {"response_format": Report, "max_tokens": 200}
    first = parse(demo, OSLO, **options)
    assert parsed_calls(first) == [GetWeather(city="Oslo")]
    message = first.choices[0].message
    messages = [*OSLO, message, result((message.tool_calls or [])[0], {"temperature": -3, "sky": "snow"})]
    second = parse(demo, messages, **options, tool_choice="none").choices[0]
    assert second.finish_reason == "stop" and isinstance(second.message.parsed, Report)
    with (
        demo.client() as client,
        client.chat.completions.stream(
            model=DEMO, messages=OSLO, tools=PYDANTIC_TOOLS, temperature=0, response_format=Report
        ) as stream,
    ):
        assert parsed_calls(stream.get_final_completion()) == [GetWeather(city="Oslo")]


async def test_many_at_once(demo: Server) -> None:
    """Calls, objects and text in one batch, streamed: nothing of one shows in another."""
    report: list[Any] = [{"role": "user", "content": "Write a report."}]

    async with demo.async_client() as client:

        async def streamed(messages: list[Any], **options: Any) -> ParsedChatCompletion[Any]:
            async with client.chat.completions.stream(
                model=DEMO, messages=messages, temperature=0, max_tokens=200, **options
            ) as stream:
                return await stream.get_final_completion()

        answers = await asyncio.gather(
            *(streamed(BOTH, tools=PYDANTIC_TOOLS) for _ in range(3)),
            *(streamed(report, response_format=Report) for _ in range(3)),
            *(streamed(SUM, tools=PYDANTIC_TOOLS, tool_choice="none") for _ in range(3)),
        )
    calls, objects, texts = answers[:3], answers[3:6], answers[6:]
    assert [parsed_calls(answer) for answer in calls] == [[GetWeather(city="Oslo"), GetWeather(city="Paris")]] * 3
    assert all(isinstance(answer.choices[0].message.parsed, Report) for answer in objects)
    assert all(not answer.choices[0].message.tool_calls and answer.choices[0].message.content for answer in texts)


async def test_asynchronous_calls(demo: Server) -> None:
    async with demo.async_client() as client:
        answer = await client.chat.completions.parse(model=DEMO, messages=SUM, tools=PYDANTIC_TOOLS, temperature=0)
    assert parsed_calls(answer) == [Add(a=17, b=25)]


def test_helpers_agree_on_tools(demo: Server) -> None:
    """The schema that the SDK makes of a model is as good as one written by hand."""
    with demo.client() as client:
        plain = client.chat.completions.create(model=DEMO, messages=BOTH, tools=TOOLS, temperature=0)
    written = [call.function.arguments for call in plain.choices[0].message.tool_calls or [] if call.type == "function"]
    made = [call.function.arguments for call in parse(demo, BOTH).choices[0].message.tool_calls or []]
    assert written == made
