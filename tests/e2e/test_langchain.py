"""`langchain-openai`: tools, structured output and streams, as LangChain's agents ask for them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from .serving import DEMO, Server
from .shapes import SHAPES, Drawing, Folder, Person

BOTH = "What is the weather in Oslo and in Paris?"
WRITE = "Write something as JSON."


@tool
def get_weather(city: str) -> dict[str, Any]:
    """Get the current weather for a city."""
    return {"temperature": 21, "sky": "sun"}


@tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def chat(server: Server, **options: Any) -> ChatOpenAI:
    settings = {"temperature": 0, "max_completion_tokens": 600, "max_retries": 0, **options}
    return ChatOpenAI(model=DEMO, base_url=server.url, api_key=SecretStr("none"), **settings)


def asked(message: AIMessage) -> list[tuple[str, dict[str, Any]]]:
    assert not message.invalid_tool_calls
    return [(call["name"], call["args"]) for call in message.tool_calls]


def whole(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    first, *others = chunks
    return sum(others, first)  # type: ignore[return-value]  # chunks add up to a chunk


def test_an_answer_and_its_stream(demo: Server) -> None:
    answer = chat(demo).invoke("What is the capital of France?")
    assert "Paris" in answer.text and answer.response_metadata["finish_reason"] == "stop"
    chunks = list(chat(demo, stream_usage=True).stream("What is the capital of France?"))
    assert len(chunks) > 3 and whole(chunks).content == answer.content
    said, streamed = answer.usage_metadata, whole(chunks).usage_metadata
    assert said and streamed and said["output_tokens"] == streamed["output_tokens"] > 3


def test_tools(demo: Server) -> None:
    model = chat(demo).bind_tools([get_weather, add])
    assert asked(model.invoke("What is 17 plus 25?")) == [("add", {"a": 17, "b": 25})]
    cities = [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"})]
    assert asked(model.invoke(BOTH)) == asked(whole(list(model.stream(BOTH)))) == cities
    assert not asked(model.invoke("Hello!"))


def test_a_round_trip(demo: Server) -> None:
    """The message that comes back from LangChain, `index` and all, is one that the server takes."""
    model = chat(demo).bind_tools([get_weather, add], strict=True)
    question = HumanMessage("What is the weather in Oslo?")
    for first in (model.invoke([question]), whole(list(model.stream([question])))):
        (call,) = first.tool_calls
        result = get_weather.invoke(call)
        assert isinstance(result, ToolMessage)
        second = model.invoke([question, first, result])
        assert "21" in second.text and not second.tool_calls


@pytest.mark.parametrize("choice", ["any", "required", "get_weather", True])
def test_forced_tools(demo: Server, choice: Any) -> None:
    tools = [get_weather] if choice is True else [get_weather, add]
    model = chat(demo).bind_tools(tools, tool_choice=choice, parallel_tool_calls=False)
    (call,) = asked(model.invoke("What is the weather in Oslo?"))
    assert call == ("get_weather", {"city": "Oslo"})


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_structured_output(
    demo: Server, shape: type[BaseModel], method: Literal["json_schema", "function_calling"]
) -> None:
    if shape is Folder and method == "function_calling":
        pytest.skip("LangChain leaves recursion out of a tool's schema")
    model = chat(demo, temperature=1, seed=1).with_structured_output(shape, method=method, include_raw=True)
    answer = model.invoke(WRITE)
    assert isinstance(answer, dict) and answer["parsing_error"] is None and type(answer["parsed"]) is shape


def test_structured_output_as_it_is_written(demo: Server) -> None:
    for method in ("json_schema", "function_calling"):
        model = chat(demo).with_structured_output(Person.model_json_schema(), method=method)
        parts = list(model.stream(WRITE))
        assert Person.model_validate(parts[-1]) == Person.model_validate(model.invoke(WRITE))
        assert any(isinstance(part, dict) and len(part) == 2 for part in parts), "it grows"


def test_json_mode(demo: Server) -> None:
    model = chat(demo, max_completion_tokens=600).with_structured_output(None, method="json_mode")
    assert isinstance(model.invoke("Give me the capital of France as JSON."), dict)


async def test_asynchronously(demo: Server) -> None:
    model = chat(demo)
    assert isinstance(await model.with_structured_output(Drawing).ainvoke(WRITE), Drawing)
    chunks = [chunk async for chunk in model.bind_tools([get_weather, add]).astream(BOTH)]
    assert len(asked(whole(chunks))) == 2
    answers = await model.abatch(["What is the capital of France?"] * 4)
    assert len({answer.text for answer in answers}) == 1
