"""Chat through the official SDK: every documented use, streaming and not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from .serving import DEMO, Server

FRANCE: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
COUNT: list[Any] = [{"role": "user", "content": "Count from 1 to 30."}]


def ask(server: Server, messages: list[Any], **options: Any) -> ChatCompletion:
    with server.client() as client:
        return client.chat.completions.create(model=DEMO, messages=messages, **{"temperature": 0, **options})


def chunks(server: Server, messages: list[Any], **options: Any) -> list[ChatCompletionChunk]:
    with server.client() as client:
        stream = client.chat.completions.create(
            model=DEMO, messages=messages, stream=True, **{"temperature": 0, **options}
        )
        return list(stream)


def text_of(stream: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices if choice.index == index)


def test_an_answer(demo: Server) -> None:
    answer = ask(demo, FRANCE)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion" and answer.model == DEMO
    usage = answer.usage
    assert usage is not None and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_an_answer_has_every_field_of_the_wire_format(demo: Server) -> None:
    raw = demo.post("/v1/chat/completions", {"model": DEMO, "messages": FRANCE}).json()
    ChatCompletion.model_validate(raw, strict=True)
    message = raw["choices"][0]["message"]
    assert message["refusal"] is None and raw["choices"][0]["logprobs"] is None
    assert {"prompt_ms", "predicted_per_second"} <= raw["timings"].keys()


def test_a_stream_is_openai_s_to_the_letter(demo: Server) -> None:
    stream = chunks(demo, FRANCE, stream_options={"include_usage": True})
    first, *content, finish, usage = stream
    assert first.choices[0].delta.role == "assistant" and first.choices[0].delta.content == ""
    assert all(chunk.choices[0].delta.content for chunk in content)
    assert finish.choices[0].finish_reason == "stop" and finish.choices[0].delta.content is None
    assert usage.choices == [] and usage.usage is not None and usage.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in stream[:-1])
    assert len({chunk.id for chunk in stream}) == 1
    assert text_of(stream) == ask(demo, FRANCE).choices[0].message.content


def test_a_stream_on_the_wire(demo: Server) -> None:
    body = {"model": DEMO, "messages": FRANCE, "stream": True}
    answer = demo.post("/v1/chat/completions", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-1] == "" and events[-2] == "data: [DONE]"
    assert all(event.startswith("data: {") for event in events[:-2])


def test_several_choices_share_the_prompt(demo: Server) -> None:
    answer = ask(demo, FRANCE, n=4, temperature=1.0, seed=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    streamed = chunks(demo, FRANCE, n=3)
    assert {text_of(streamed, i) for i in range(3)} == {ask(demo, FRANCE).choices[0].message.content}


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_limits(demo: Server, limit: str) -> None:
    answer = ask(demo, COUNT, **{limit: 7})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None and answer.usage.completion_tokens == 7


def test_chat_goes_on_to_the_end_by_itself(demo: Server) -> None:
    answer = ask(demo, [{"role": "user", "content": "Count from 1 to 100."}])
    content = answer.choices[0].message.content or ""
    assert answer.choices[0].finish_reason == "stop" and content.rstrip(".").endswith("100")


def test_stop_strings_are_not_part_of_the_text(demo: Server) -> None:
    for stop in (" 12", [" 12,", "no such text"], ["zzz", "1, 12"]):
        answer = ask(demo, COUNT, stop=stop)
        content = answer.choices[0].message.content or ""
        assert answer.choices[0].finish_reason == "stop"
        assert content.endswith((" 11,", ", 1")), content
        assert text_of(chunks(demo, COUNT, stop=stop)) == content


def test_logprobs(demo: Server) -> None:
    answer = ask(demo, FRANCE, logprobs=True, top_logprobs=5)
    content = answer.choices[0].message.content
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content or []
    assert "".join(token.token for token in tokens) == content
    for token in tokens:
        assert len(token.top_logprobs) == 5
        assert token.logprob == max(top.logprob for top in token.top_logprobs) <= 0
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) <= 1 + 1e-4
        assert bytes(token.bytes or []).decode() == token.token
    streamed = [
        token
        for chunk in chunks(demo, FRANCE, logprobs=True, top_logprobs=5)
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content or []
    ]
    assert [token.token for token in streamed] == [token.token for token in tokens]


def test_seeds(demo: Server) -> None:
    story: list[Any] = [{"role": "user", "content": "Tell me a story about a fox."}]
    options = {"temperature": 1.5, "extra_body": {"top_k": 0, "min_p": 0.0}, "max_tokens": 40}
    one, again, other = [ask(demo, story, seed=seed, **options).choices[0].message.content for seed in (1, 1, 2)]
    assert one == again != other


def test_samplers_in_extra_body(demo: Server) -> None:
    samplers = {
        "min_p": 0.1, "top_k": 20, "tfs_z": 0.95, "typical_p": 0.9, "repeat_penalty": 1.1, "repeat_last_n": 32,
        "mirostat": 0, "dry_multiplier": 0.5, "xtc_probability": 0.1, "top_n_sigma": 1.5, "dynatemp_range": 0.2,
        "samplers": ["penalties", "top_k", "tfs_z", "typ_p", "temperature"], "ignore_eos": True, "min_keep": 1,
    }  # fmt: skip
    answer = ask(demo, FRANCE, temperature=0.7, max_tokens=50, extra_body=samplers)
    assert answer.usage is not None and answer.usage.completion_tokens == 50
    for mirostat in (1, 2):
        assert ask(demo, FRANCE, temperature=0.7, extra_body={"mirostat": mirostat, "mirostat_tau": 3.0}).choices


def test_logit_bias_bans_by_id_and_by_text(demo: Server) -> None:
    plain = ask(demo, FRANCE, max_tokens=30).choices[0].message.content or ""
    ids = demo.post("/tokenize", {"content": " Paris"}).json()["tokens"]
    for bias in ({str(i): -100 for i in ids}, {" Paris": -100}):
        biased = ask(demo, FRANCE, max_tokens=30, logit_bias=bias).choices[0].message.content
        assert " Paris" in plain and " Paris" not in (biased or "")


def test_the_prefix_cache_tells(demo: Server) -> None:
    system = {"role": "system", "content": "You are a helpful assistant. " + "Be kind and brief. " * 30}
    first = ask(demo, [system, *FRANCE])
    second = ask(demo, [system, {"role": "user", "content": "What is the capital of Italy?"}])
    assert first.usage is not None and second.usage is not None and second.usage.prompt_tokens_details is not None
    assert (second.usage.prompt_tokens_details.cached_tokens or 0) > 0.7 * second.usage.prompt_tokens


def test_roles_and_parts(demo: Server) -> None:
    parts = [{"type": "text", "text": "What is the capital"}, {"type": "text", "text": " of France?"}]
    assert ask(demo, [{"role": "user", "content": parts}]).choices[0].message.content == (
        ask(demo, FRANCE).choices[0].message.content
    )
    capitals = "Answer in capitals."
    by_system, by_developer = [
        ask(demo, [{"role": role, "content": capitals}, *FRANCE]).choices[0].message.content
        for role in ("system", "developer")
    ]
    assert by_system == by_developer


def test_fields_without_effect_are_accepted(demo: Server) -> None:
    answer = ask(
        demo, FRANCE, user="u", metadata={"a": "b"}, store=False, service_tier="auto", parallel_tool_calls=True,
        extra_body={"no_such_field": [1, {"x": None}]},
    )  # fmt: skip
    assert answer.choices[0].message.content


def test_errors_are_openai_s(demo: Server) -> None:
    with demo.client() as client:
        create = client.chat.completions.create
        with pytest.raises(NotFoundError) as unknown:
            create(model="no-such-model", messages=FRANCE)
        assert unknown.value.code == "model_not_found" and DEMO in unknown.value.message
        with pytest.raises(BadRequestError) as hot:
            create(model=DEMO, messages=FRANCE, temperature=3)
        assert hot.value.param == "temperature" and hot.value.type == "invalid_request_error"
        with pytest.raises(BadRequestError) as long:
            create(model=DEMO, messages=[{"role": "user", "content": "one two three " * 3000}])
        assert long.value.code == "context_length_exceeded" and "2048" in long.value.message
        with pytest.raises(BadRequestError) as later:
            create(model=DEMO, messages=FRANCE, extra_body={"lora": [{"id": 0, "scale": 1.0}]})
        assert later.value.param == "lora"


async def test_the_asynchronous_client(demo: Server) -> None:
    async with demo.async_client() as client:
        answer = await client.chat.completions.create(model=DEMO, messages=FRANCE, temperature=0)
        stream = await client.chat.completions.create(model=DEMO, messages=FRANCE, temperature=0, stream=True)
        streamed = [chunk async for chunk in stream]
        assert text_of(streamed) == answer.choices[0].message.content
        async with client.chat.completions.stream(model=DEMO, messages=FRANCE) as helper:
            final = await helper.get_final_completion()
        assert final.choices[0].finish_reason == "stop"
        models = [model.id async for model in await client.models.list()]
        assert models == [DEMO] and (await client.models.retrieve(DEMO)).id == DEMO
