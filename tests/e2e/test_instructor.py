"""`instructor`: objects through tools, through JSON, through schemas; whole, growing and one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import instructor
import pytest
from pydantic import BaseModel

from .serving import DEMO, Server
from .shapes import SHAPES, Drawing, Person


class get_weather(BaseModel):  # noqa: N801  (the tool's name)
    """Get the current weather for a city."""

    city: str


class add(BaseModel):  # noqa: N801
    """Add two numbers."""

    a: float
    b: float


ASKED: dict[str, Any] = {
    "model": DEMO,
    "messages": [{"role": "user", "content": "Write something as JSON."}],
    "temperature": 1,
    "seed": 1,
    "max_tokens": 600,
    "max_retries": 0,
    "strict": False,
}
MODES = ["TOOLS", "JSON_SCHEMA"]
"""Ways of asking in which the constraint knows the schema."""


def wrapped(server: Server, mode: str = "TOOLS") -> Any:
    return instructor.from_openai(server.client(), mode=instructor.Mode[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape(demo: Server, shape: type[BaseModel], mode: str) -> None:
    """Without a second try."""
    value, answer = wrapped(demo, mode).chat.completions.create_with_completion(**ASKED, response_model=shape)
    assert isinstance(value, shape) and answer.choices[0].finish_reason in ("stop", "tool_calls")


@pytest.mark.parametrize("mode", MODES)
def test_growing(demo: Server, mode: str) -> None:
    growing = list(wrapped(demo, mode).chat.completions.create_partial(**ASKED, response_model=Person))
    assert len(growing) > 5 and growing[0].name in (None, "") and growing[-1].favourite is not None


def test_one_by_one(demo: Server) -> None:
    """It asks for a list without an end: the first ones come while the model is still writing."""
    found = wrapped(demo).chat.completions.create_iterable(**ASKED, response_model=Drawing)
    assert isinstance(next(iter(found)), Drawing)


def test_the_model_s_own_tools(demo: Server) -> None:
    """One tool, forced, whose schema is one that the model knows."""
    asked = ASKED | {"messages": [{"role": "user", "content": "What is 17 plus 25?"}]}
    assert wrapped(demo).chat.completions.create(**asked, response_model=add).model_dump() == {"a": 17, "b": 25}


def test_parallel_calls(demo: Server) -> None:
    asked = ASKED | {"messages": [{"role": "user", "content": "What is the weather in Oslo and in Paris?"}]}
    create = wrapped(demo, "PARALLEL_TOOLS").chat.completions.create
    found = list(create(**asked, response_model=Iterable[get_weather | add]))
    assert found == [get_weather(city="Oslo"), get_weather(city="Paris")]


async def test_the_asynchronous_client(demo: Server) -> None:
    async with demo.async_client() as openai:
        client = instructor.from_openai(openai, mode=instructor.Mode.TOOLS)
        assert isinstance(await client.chat.completions.create(**ASKED, response_model=Drawing), Drawing)
        growing = [part async for part in client.chat.completions.create_partial(**ASKED, response_model=Person)]
    assert len(growing) > 3 and isinstance(growing[-1], Person)
