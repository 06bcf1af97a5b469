"""Tool calls in `/v1/chat/completions`, with a scripted backend: requests, framing, damage."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.openai_document import document, needs_document
from tests.server.routes.client import chat, chunks
from tests.server.routes.tool_chats import (
    HERMES,
    OSLO,
    TOOLS,
    WEATHER,
    assembled,
    call,
    choice,
    lark,
    prompt_of,
    talking,
    whole,
    without_ids,
)


async def test_a_call() -> None:
    state, backend = talking(OSLO)
    answer = choice(await chat(state, tools=TOOLS))
    (made,) = answer["message"]["tool_calls"]
    assert made.pop("id").startswith("call_")
    assert made == {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    assert (answer["message"]["content"], answer["finish_reason"]) == (None, "tool_calls")
    prompt = prompt_of(backend)
    assert '"name": "get_weather"' in prompt and prompt.endswith("[assistant]")
    assert backend.requests[0].grammar is not None


async def test_a_stream_of_calls() -> None:
    state, _ = talking("\n".join(["Let me look.", OSLO, call("get_time") + call("say", input='é "x"')]))
    stream = chunks(await chat(state, tools=TOOLS, stream=True))
    first = stream[0]["choices"][0]["delta"]
    assert first == {"role": "assistant", "content": None, "refusal": None}
    message, reason = assembled(stream)
    assert (message["content"], reason) == ("Let me look.", "tool_calls")
    assert [(c["type"], c["name"], c["text"]) for c in message["calls"]] == [
        ("function", "get_weather", '{"city": "Oslo"}'),
        ("function", "get_time", "{}"),
        ("custom", "say", 'é "x"'),
    ]
    assert len({c["id"] for c in message["calls"]}) == 3
    assert stream[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls"}
    assert without_ids((message, reason)) == without_ids(whole(choice(await chat(state, tools=TOOLS))))


async def test_each_choice_has_its_own_calls() -> None:
    texts = ["Hello", OSLO, f"{OSLO}{call('get_time')}"]
    state, _ = talking(lambda index: texts[index])
    body = (await chat(state, tools=TOOLS, n=3)).json()
    assert [len(c["message"].get("tool_calls", ())) for c in body["choices"]] == [0, 1, 2]
    assert [c["finish_reason"] for c in body["choices"]] == ["stop", "tool_calls", "tool_calls"]
    stream = chunks(await chat(state, tools=TOOLS, n=3, stream=True))
    for index in range(3):
        assert without_ids(assembled(stream, index)) == without_ids(whole(body["choices"][index]))


async def test_without_tools_nothing_is_a_call() -> None:
    for fields in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        state, backend = talking(OSLO)
        answer = choice(await chat(state, **fields))
        assert (answer["message"]["content"], answer["finish_reason"]) == (OSLO, "stop")
        assert "tool_calls" not in answer["message"]
        assert "get_weather" not in prompt_of(backend) and backend.requests[0].grammar is None


async def test_a_call_cut_off() -> None:
    state, _ = talking(OSLO)
    answer = choice(await chat(state, tools=TOOLS, max_tokens=len(OSLO) - 19))
    assert answer["finish_reason"] == "length"
    assert answer["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "O'
    answer = choice(await chat(state, tools=TOOLS, stop="Oslo"))
    assert answer["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "said",
    [
        "<tool_call>",
        "<tool_call>\nnonsense",
        '<tool_call>\n{"name": 5}\n</tool_call>',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", ]}}\n</tool_call> and more',
        "</tool_call>",
        "a <tool_call> in the middle",
    ],
)
async def test_damage_is_content(said: str) -> None:
    state, _ = talking(said)
    message, _ = whole(choice(await chat(state, tools=TOOLS)))
    streamed, _ = assembled(chunks(await chat(state, tools=TOOLS, stream=True)))
    assert without_ids((message, "")) == without_ids((streamed, ""))
    shown = message["content"] + "".join(made["text"] for made in message["calls"])
    for word in ("nonsense", "and more", "in the middle"):
        assert (word in said) == (word in shown)


@given(st.integers(1, 40), st.sampled_from(["", "Well. ", "<think>Hm, é🦙.</think>\n"]), st.booleans())
@settings(max_examples=60, deadline=None)
async def test_how_tokens_are_bundled_does_not_matter(burst: int, before: str, logprobs: bool) -> None:
    said = before + OSLO + "\n" + call("say", input="🦙 a\nb") + call("get_time")
    state, backend = talking(said)
    expected = whole(choice(await chat(state, tools=TOOLS)))
    thought = (await chat(state, tools=TOOLS)).json()["usage"]["completion_tokens_details"]["reasoning_tokens"]
    backend.burst = burst
    options = {"include_usage": True}
    stream = chunks(await chat(state, tools=TOOLS, stream=True, logprobs=logprobs, stream_options=options))
    assert without_ids(assembled(stream)) == without_ids(expected)
    assert stream[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == thought
    assert thought == len(before.strip().encode()) * ("<think>" in before)
    if logprobs:
        told = [c["logprobs"]["content"] for chunk in stream for c in chunk["choices"] if c["logprobs"]]
        assert bytes(byte for part in told for token in part for byte in token["bytes"]).decode() == said


CHOICES: list[tuple[Any, str, str]] = [
    ("required", '"get_time', '"get_weather'),
    ({"type": "function", "function": {"name": "get_time"}}, '"get_time', "get_weather"),
    ({"type": "custom", "custom": {"name": "say"}}, '"say', "get_time"),
    (
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]},
        },
        '"get_time',
        "get_weather",
    ),
]


@pytest.mark.parametrize(("tool_choice", "there", "other"), CHOICES)
async def test_choices_become_grammars(tool_choice: Any, there: str, other: str) -> None:
    state, backend = talking(OSLO)
    await chat(state, tools=TOOLS, tool_choice=tool_choice)
    grammar = (backend.requests[0].grammar or "").replace("\\", "")
    assert there.replace('"', "") in grammar
    if tool_choice != "required":
        assert other.replace('"', "") not in grammar
        assert other.replace('"', "") in prompt_of(backend), "the prompt has all tools"


async def test_deprecated_functions() -> None:
    state, backend = talking(f"Well.\n{OSLO}")
    functions = [WEATHER["function"]]
    answer = choice(await chat(state, functions=functions))
    assert answer["finish_reason"] == "function_call" and "tool_calls" not in answer["message"]
    assert answer["message"]["function_call"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    stream = chunks(await chat(state, functions=functions, function_call={"name": "get_weather"}, stream=True))
    assert assembled(stream) == whole(answer)
    assert (backend.requests[0].grammar or "") != (backend.requests[1].grammar or "")
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "get_weather", "arguments": '{"city": "x"}'}},
        {"role": "function", "name": "get_weather", "content": "rain"},
    ]
    await chat(state, messages=messages, functions=functions, function_call="none")
    assert '<tool_call>{"name": "get_weather", "arguments": {"city": "x"}}</tool_call>[tool]rain' in prompt_of(backend)
    assert '"parameters"' not in prompt_of(backend)


async def test_custom_calls_of_earlier_turns() -> None:
    state, backend = talking("ok")
    made = {"id": "1", "type": "custom", "custom": {"name": "say", "input": 'a "b"'}}
    messages = [{"role": "assistant", "tool_calls": [made]}, {"role": "tool", "tool_call_id": "1", "content": "done"}]
    await chat(state, messages=messages, tools=TOOLS)
    assert '{"name": "say", "arguments": {"input": "a \\"b\\""}}' in prompt_of(backend)


async def test_tools_for_a_template_that_knows_none() -> None:
    plain = "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}"
    state, backend = talking(OSLO, plain)
    answer = choice(await chat(state, tools=[WEATHER]))
    assert answer["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert "get_weather" in prompt_of(backend) and "<tool_call>" in prompt_of(backend)
    messages = [
        {"role": "user", "content": "hi"},
        answer["message"],
        {"role": "tool", "tool_call_id": answer["message"]["tool_calls"][0]["id"], "content": "rain"},
    ]
    await chat(state, messages=messages)
    assert OSLO in prompt_of(backend) and prompt_of(backend).endswith("[tool]rain"), "this template prints any role"
    assert "# Tools" not in prompt_of(backend)


async def test_a_template_apart_for_tools() -> None:
    state, backend = talking(OSLO, "{{ messages[0].content }}")
    own = "{{ messages[0].content }}"
    metadata = {"tokenizer.chat_template.tool_use": HERMES}
    backend.model = msgspec.structs.replace(backend.model, chat_template=own, metadata=metadata)
    assert choice(await chat(state, tools=TOOLS))["finish_reason"] == "tool_calls"
    assert prompt_of(backend).endswith("[assistant]")
    for fields in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        await chat(state, **fields)
        assert prompt_of(backend) == "hi"


async def test_a_format_that_is_not_known() -> None:
    """Its own description of the tools would have its models call them in a way that we can't read."""
    state, backend = talking(
        OSLO,
        "{% if tools %}TOOLS{% for t in tools %}{{ t.function.name }}{% endfor %}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    )
    assert choice(await chat(state, tools=TOOLS))["finish_reason"] == "tool_calls"
    assert "TOOLS" not in prompt_of(backend) and "<tool_call>" in prompt_of(backend)


async def test_what_templates_are_told_of_a_tool() -> None:
    state, backend = talking("ok", '{{ tools | tojson }}<tool_call>"arguments"{{ messages[0].content }}')
    sent = {"name": "f", "strict": True, "returns": "much", "parameters": {"type": "object", "properties": {}}}
    custom = {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}}
    await chat(state, tools=[{"type": "function", "function": sent}, {"type": "custom", "custom": custom}])
    told = json.loads(prompt_of(backend).split("<tool_call>")[0])
    assert told[0]["function"] == {"name": "f", "description": "", "parameters": sent["parameters"], "returns": "much"}
    assert told[1]["function"]["parameters"]["properties"] == {"input": {"type": "string", "pattern": "a+"}}


async def test_custom_tools_with_a_grammar() -> None:
    """The template tells of it; what the answer is held to is JSON."""
    state, backend = talking("never")
    tool = lark("c", 'start: "a\\n"')
    assert (await chat(state, tools=[tool], tool_choice="required")).status_code == 200
    assert r'start : "a\\n"' in (backend.requests[0].grammar or "")
    told = json.loads(prompt_of(backend).split("<tool_call>")[0])[0]["function"]["parameters"]["properties"]["input"]
    assert told["description"].endswith(':\nstart: "a\\n"')


@needs_document
async def test_openai_s_document() -> None:
    state, _ = talking(f"Well.\n{OSLO}{call('get_time')}")
    for fields in ({"tools": TOOLS}, {"functions": [WEATHER["function"]]}, {"tools": TOOLS, "logprobs": True}):
        document().check("CreateChatCompletionResponse", (await chat(state, **fields)).json())
        for chunk in chunks(await chat(state, **fields, stream=True)):
            document().check("CreateChatCompletionStreamResponse", chunk)
