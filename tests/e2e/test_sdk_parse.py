"""The official SDK's pydantic helpers: `parse()` and `stream()` with models as the response's format."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from openai import BadRequestError, LengthFinishReasonError
from pydantic import BaseModel

from .serving import DEMO, Server
from .shapes import SHAPES, Chain, Drawing, Folder, Person, Unordered

Shape = TypeVar("Shape", bound=BaseModel)

WRITE: list[Any] = [{"role": "user", "content": "Write something as JSON."}]
LONG = 1000
"""Tokens that are enough for any of the shapes."""


def parse(server: Server, shape: type[Shape], **options: Any) -> Shape:
    with server.client() as client:
        answer = client.chat.completions.parse(
            model=DEMO, messages=WRITE, response_format=shape, **{"temperature": 1, "max_tokens": LONG, **options}
        )
    (choice,) = answer.choices
    assert choice.finish_reason == "stop" and choice.message.refusal is None and not choice.message.tool_calls
    assert choice.message.parsed == shape.model_validate_json(choice.message.content or "")
    assert choice.message.parsed is not None
    return choice.message.parsed


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape(demo: Server, shape: type[BaseModel]) -> None:
    values = [parse(demo, shape, seed=seed, temperature=1.5) for seed in range(4)]
    assert any(value != values[0] for value in values), "nothing is fixed but what the schema fixes"


def test_optional(demo: Server) -> None:
    """The model decides: here it is made to."""
    assert parse(demo, Person, temperature=0).nickname is not None
    nobody = parse(demo, Person, temperature=0, logit_bias={"null": 100})
    assert nobody.nickname is None and nobody.work is None and nobody.name is not None


def test_every_alternative(demo: Server) -> None:
    drawings = [parse(demo, Drawing, seed=seed, temperature=2) for seed in range(6)]
    assert {shape.kind for drawing in drawings for shape in drawing.shapes} == {"circle", "square"}


def test_recursion(demo: Server) -> None:
    assert parse(demo, Chain, logit_bias={"null": 100}).next is None
    chains = [parse(demo, Chain, seed=seed, temperature=2, logit_bias={"null": 9}) for seed in range(4)]
    assert any(chain.next and chain.next.next for chain in chains)
    assert any(folder.folders for folder in [parse(demo, Folder, seed=seed, temperature=1.5) for seed in range(4)])


def test_several_choices(demo: Server) -> None:
    with demo.client() as client:
        answer = client.chat.completions.parse(
            model=DEMO, messages=WRITE, response_format=Person, n=3, temperature=1, max_tokens=LONG
        )
    assert [type(choice.message.parsed) for choice in answer.choices] == [Person] * 3


def test_a_limit(demo: Server) -> None:
    """The SDK tells that the object is cut off, rather than that it isn't JSON."""
    with pytest.raises(LengthFinishReasonError) as cut:
        parse(demo, Person, max_tokens=5)
    assert (cut.value.completion.choices[0].message.content or "").startswith('{"name":"')


def test_what_cannot_be_enforced(demo: Server) -> None:
    with pytest.raises(BadRequestError) as refused:
        parse(demo, Unordered)
    assert refused.value.param == "response_format.json_schema.schema.properties.colours.uniqueItems"


def test_streaming(demo: Server) -> None:
    with (
        demo.client() as client,
        client.chat.completions.stream(
            model=DEMO, messages=WRITE, response_format=Person, temperature=0, max_tokens=LONG, logprobs=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):  # fmt: skip
        events = list(stream)
        final = stream.get_final_completion()
    person = final.choices[0].message.parsed
    assert isinstance(person, Person) and person == parse(demo, Person, temperature=0)
    deltas = [event for event in events if event.type == "content.delta"]
    assert "".join(event.delta for event in deltas) == deltas[-1].snapshot == final.choices[0].message.content
    assert deltas[-1].parsed == person.model_dump(mode="json")
    assert any(isinstance(event.parsed, dict) and len(event.parsed) == 2 for event in deltas), "it grows"
    (done,) = [event for event in events if event.type == "content.done"]
    assert done.parsed == person
    (tokens,) = [event.content for event in events if event.type == "logprobs.content.done"]
    assert final.usage is not None and "".join(token.token for token in tokens) == done.content


async def test_the_asynchronous_client(demo: Server) -> None:
    async with demo.async_client() as client:
        options: Any = {"model": DEMO, "messages": WRITE, "temperature": 0, "max_tokens": LONG}
        answer = await client.chat.completions.parse(response_format=Drawing, **options)
        async with client.chat.completions.stream(response_format=Drawing, **options) as stream:
            types = [event.type async for event in stream]
            final = await stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Drawing)
    assert final.choices[0].message.parsed == answer.choices[0].message.parsed
    assert types.count("content.done") == 1 and "refusal.delta" not in types
