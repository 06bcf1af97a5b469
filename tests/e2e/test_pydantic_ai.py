"""`pydantic-ai`: agents that call tools, and answers as objects in each of its ways of asking for them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    NativeOutput,
    ToolOutput,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
    UsageLimits,
    capture_run_messages,
)
from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from .serving import DEMO, Server
from .shapes import SHAPES, Drawing, Person

WRITE = "Write something as JSON."


def get_weather(city: str) -> dict[str, Any]:
    """Get the current weather for a city."""
    return {"temperature": 21, "sky": "sun"}


def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def agent(server: Server, output: Any = str, **options: Any) -> Agent[None, Any]:
    """Without a second try."""
    model = OpenAIChatModel(DEMO, provider=OpenAIProvider(base_url=server.url, api_key="none"))
    settings = ModelSettings(**{"temperature": 0, "max_tokens": 600, **options.pop("settings", {})})
    return Agent(model, output_type=output, retries=0, model_settings=settings, **options)


def calls(messages: list[ModelMessage]) -> list[tuple[str, dict[str, Any]]]:
    parts = [part for message in messages for part in message.parts]
    return [(part.tool_name, part.args_as_dict()) for part in parts if isinstance(part, ToolCallPart)]


async def test_a_run_with_tools(demo: Server) -> None:
    asking = agent(demo, tools=[get_weather, add])
    ran = await asking.run("What is the weather in Oslo?")
    assert "21" in ran.output
    assert calls(ran.all_messages()) == [("get_weather", {"city": "Oslo"})]
    assert ran.usage.requests == 2 and ran.usage.output_tokens > 0
    again = await asking.run("What is 17 plus 25?", message_history=ran.all_messages())
    assert calls(again.new_messages()) == [("add", {"a": 17, "b": 25})]


async def test_parallel_calls(demo: Server) -> None:
    ran = await agent(demo, tools=[get_weather, add]).run("What is the weather in Oslo and in Paris?")
    assert calls(ran.all_messages()) == [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"})]
    assert ran.usage.requests == 2 and ran.output


async def test_a_streamed_run(demo: Server) -> None:
    """The same, each request a stream: calls are put together from deltas, the answer is shown as it grows."""
    async with agent(demo, tools=[get_weather, add]).run_stream("What is the weather in Oslo?") as stream:
        texts = [text async for text in stream.stream_text(debounce_by=None)]
    assert len(texts) > 3 and "21" in texts[-1]
    assert calls(stream.all_messages()) == [("get_weather", {"city": "Oslo"})]
    assert stream.usage.requests == 2


@pytest.mark.parametrize("way", [ToolOutput, NativeOutput], ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_every_shape(demo: Server, shape: type[BaseModel], way: Any) -> None:
    ran = await agent(demo, way(shape), settings={"temperature": 1, "seed": 1}).run(WRITE)
    assert type(ran.output) is shape and ran.usage.requests == 1


@pytest.mark.parametrize("way", [ToolOutput, NativeOutput], ids=lambda way: way.__name__)
async def test_an_object_as_it_is_written(demo: Server, way: Any) -> None:
    async with agent(demo, way(Person)).run_stream(WRITE) as stream:
        people = [person async for person in stream.stream_output(debounce_by=None)]
    assert people and type(people[-1]) is Person


async def test_one_of_several_objects(demo: Server) -> None:
    """Several tools of which one must be called, or a union as the schema."""
    for output in ([Drawing, Person], NativeOutput([Drawing, Person])):
        assert type((await agent(demo, output).run(WRITE)).output) in (Drawing, Person)


async def test_tools_before_an_object(demo: Server) -> None:
    """The agent's tools and the one that takes its answer, all in one request, and a call of some tool demanded."""
    tools = agent(demo, ToolOutput(Drawing), tools=[get_weather, add])
    with capture_run_messages() as messages, contextlib.suppress(UnexpectedModelBehavior, UsageLimitExceeded):
        await tools.run("What is the weather in Oslo?", usage_limits=UsageLimits(request_limit=2))
    name, arguments = calls(messages)[0]
    assert name == "get_weather" and list(arguments) == ["city"]
