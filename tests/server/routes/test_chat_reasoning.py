"""Reasoning and assistant prefill in `/v1/chat/completions`, with a scripted backend."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from server.chat.template import ChatTemplate, special_tokens
from server.state import AppState
from tests.server.routes.client import call, chat, chunks, error
from tests.server.routes.tool_chats import HERMES, OSLO, TOOLS, assembled, choice, prompt_of, talking, whole
from tests.server.scripted import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, INFO, ScriptedBackend, set_template

THOUGHT = "<think>\nA greeting.\n</think>\n\nHello!"
ASK = {"role": "user", "content": "hi"}


async def test_reasoning_is_told_apart() -> None:
    for said, fields in ((THOUGHT, {}), (THOUGHT.removeprefix("<think>"), {"reasoning_effort": "high"})):
        state, _ = talking(said)
        response = await chat(state, **fields)
        answer = choice(response)
        assert answer["message"]["content"] == "Hello!"
        assert answer["message"]["reasoning_content"] == answer["message"]["reasoning"] == "A greeting."
        usage = response.json()["usage"]
        assert usage["completion_tokens"] == len(said)
        assert usage["completion_tokens_details"]["reasoning_tokens"] == said.index("</think>") + 8
        stream = chunks(await chat(state, stream=True, stream_options={"include_usage": True}, **fields))
        assert stream[-1]["usage"]["completion_tokens_details"] == usage["completion_tokens_details"]
        assert assembled(stream) == whole(answer)


async def test_an_answer_without_thinking_says_nothing_of_it() -> None:
    state, _ = talking("Hello <think> you")
    response = await chat(state)
    message = choice(response)["message"]
    assert message["content"] == "Hello <think> you" and not message.keys() & {"reasoning", "reasoning_content"}
    assert response.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize("fields", [{}, {"tools": TOOLS}])
async def test_reasoning_in_the_content(fields: dict[str, Any]) -> None:
    state, _ = talking(THOUGHT + ("\n" + OSLO if fields else ""))
    answer = choice(await chat(state, reasoning_format="none", **fields))
    assert answer["message"]["content"] == "<think>\nA greeting.\n</think>\n\nHello!"
    assert "reasoning" not in answer["message"] and ("tool_calls" in answer["message"]) == bool(fields)
    streamed, _ = assembled(chunks(await chat(state, reasoning_format="none", stream=True, **fields)))
    assert streamed["content"] == answer["message"]["content"]
    state, _ = talking(f"<think>A call.</think>{OSLO}")
    content = choice(await chat(state, reasoning_format="none", **fields))["message"]["content"]
    assert content.startswith("<think>\nA call.\n</think>")
    for same in ("auto", "deepseek"):
        assert choice(await chat(state, reasoning_format=same))["message"]["reasoning"] == "A call."
    assert error(await chat(state, reasoning_format="x"))["param"] == "reasoning_format"


async def test_thinking_that_is_cut_off() -> None:
    state, _ = talking(THOUGHT)
    answer = choice(await chat(state, max_tokens=12))
    assert answer["finish_reason"] == "length"
    assert (answer["message"]["content"], answer["message"]["reasoning"]) == ("", "A gr")


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({}, "[assistant]"),
        ({"reasoning_effort": "high"}, "[assistant](high)<think>"),
        ({"reasoning_effort": "none"}, "[assistant]"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "[assistant]<think>"),
        ({"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}, "[assistant]"),
        ({"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "none"}, "[assistant]<think>"),
        ({"chat_template_kwargs": {"reasoning_effort": "mine"}, "reasoning_effort": "low"}, "[assistant](mine)<think>"),
    ],
)
async def test_what_templates_are_told(fields: dict[str, Any], there: str) -> None:
    state, backend = talking("x")
    await chat(state, **fields)
    assert prompt_of(backend).endswith(there)


async def test_enable_thinking_is_a_boolean() -> None:
    state, _ = talking("x")
    answer = error(await chat(state, chat_template_kwargs={"enable_thinking": "false"}))
    assert answer["param"] == "chat_template_kwargs.enable_thinking"


def with_tokens_for_thinking(state: AppState, backend: ScriptedBackend) -> None:
    pieces = [*INFO.pieces]
    pieces[FIM_PREFIX], pieces[FIM_SUFFIX] = b"<think>", b"</think>"
    backend.tokenizer.info = msgspec.structs.replace(INFO, pieces=pieces)
    set_template(state, ChatTemplate(HERMES, special_tokens(INFO)))


async def test_markers_that_are_control_tokens() -> None:
    state, backend = talking(lambda index: [FIM_PREFIX, *b"Hm.", FIM_SUFFIX, *b"Hello!"])
    with_tokens_for_thinking(state, backend)
    response = await chat(state, logprobs=True)
    answer = choice(response)
    assert (answer["message"]["content"], answer["message"]["reasoning"]) == ("Hello!", "Hm.")
    assert response.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    assert "".join(token["token"] for token in answer["logprobs"]["content"]) == "<think>Hm.</think>Hello!"


async def test_a_budget() -> None:
    state, backend = talking("Hello!")
    with_tokens_for_thinking(state, backend)
    for name in ("reasoning_budget_tokens", "thinking_budget_tokens"):
        await chat(state, **{name: 7})
        assert "[max_tokens=7]" in (backend.requests[-1].grammar or "")
    await chat(state, reasoning_budget_tokens=-1)
    assert backend.requests[-1].grammar is None
    assert error(await chat(state, reasoning_budget_tokens=-2))["param"] == "reasoning_budget_tokens"
    state, backend = talking("Hello!")
    assert error(await chat(state, reasoning_budget_tokens=7))["param"] == "reasoning_budget_tokens"
    state, backend = talking("Hello!", "{{ messages[0].content }}")
    await chat(state, reasoning_budget_tokens=7)
    assert backend.requests[-1].grammar is None, "a model that doesn't think needs no limit"


@pytest.mark.parametrize("fields", [{}, {"continue_final_message": True}, {"add_generation_prompt": False}])
async def test_prefill(fields: dict[str, Any]) -> None:
    state, backend = talking(" Paris.")
    for content in ("It is ", [{"type": "text", "text": "It"}, {"type": "text", "text": "is "}]):
        answer = choice(await chat(state, messages=[ASK, {"role": "assistant", "content": content}], **fields))
        assert answer["message"]["content"] == " Paris.", "what is new, as it is"
        assert prompt_of(backend) == (
            "[user]hi[assistant]It is " if content == "It is " else "[user]hi[assistant]It\nis "
        )


async def test_a_last_message_of_the_assistant_s_that_is_complete() -> None:
    state, backend = talking("x")
    messages = [ASK, {"role": "assistant", "content": "Yes."}]
    await chat(state, messages=messages, add_generation_prompt=True)
    assert prompt_of(backend).endswith("[assistant]Yes.[assistant]")
    await chat(state, messages=messages, continue_final_message=False)
    assert prompt_of(backend).endswith("[assistant]Yes.[assistant]")
    await chat(state, messages=messages, continue_final_message=False, add_generation_prompt=False)
    assert prompt_of(backend).endswith("[assistant]Yes.")


async def test_prefill_inside_thinking() -> None:
    template = HERMES.replace(
        "]{{ message.content }}", "]<think>{{ message.reasoning_content }}</think>{{ message.content }}"
    )
    state, backend = talking(" so.</think>Hello!", template)
    answer = choice(await chat(state, messages=[ASK, {"role": "assistant", "reasoning_content": "Hm,"}]))
    assert prompt_of(backend).endswith("[assistant]<think>Hm,")
    assert (answer["message"]["content"], answer["message"]["reasoning"]) == ("Hello!", "so.")
    state, backend = talking(" so.</think>Hello!")
    answer = choice(await chat(state, messages=[ASK, {"role": "assistant", "content": "<think>\nHm,"}]))
    assert (answer["message"]["content"], answer["message"]["reasoning"]) == ("Hello!", "so.")


async def test_reasoning_that_the_template_leaves_out() -> None:
    state, backend = talking(" so.</think>Hello!")
    answer = choice(await chat(state, messages=[ASK, {"role": "assistant", "reasoning": "Hm,"}]))
    assert prompt_of(backend).endswith("[assistant]<think>\nHm,")
    assert (answer["message"]["content"], answer["message"]["reasoning"]) == ("Hello!", "so.")
    messages = [ASK, {"role": "assistant", "content": ""}]
    await chat(state, messages=messages, continue_final_message="reasoning_content")
    assert prompt_of(backend).endswith("[assistant]<think>\n")
    state, _ = talking("x", "{% for m in messages %}{{ m.content }}{% endfor %}")
    refused = await chat(state, messages=[ASK, {"role": "assistant", "reasoning": "Hm,"}])
    assert error(refused)["param"] == "continue_final_message"


async def test_a_template_that_trims() -> None:
    state, backend = talking("x", "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }};{% endfor %}")
    await chat(state, messages=[ASK, {"role": "assistant", "content": "It is "}])
    assert prompt_of(backend) == "[user]hi;[assistant]It is"


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ([ASK], {"continue_final_message": True}),
        ([ASK, {"role": "assistant", "content": "x"}], {"continue_final_message": True, "add_generation_prompt": True}),
        (
            [ASK, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}],
            {"continue_final_message": True},
        ),
    ],
)
async def test_what_cannot_be_continued(messages: Any, fields: dict[str, Any]) -> None:
    state, _ = talking("x")
    response = await chat(state, messages=messages, **fields)
    assert (response.status_code, error(response)["param"]) == (400, "continue_final_message")


async def test_apply_template_and_props() -> None:
    state, _ = talking("x")
    body = {"messages": [ASK], "tools": TOOLS, "reasoning_effort": "low"}
    prompt = (await call(state, "POST", "/apply-template", json=body)).json()["prompt"]
    assert "get_weather" in prompt and prompt.endswith("(low)<think>")
    refused = await call(
        state, "POST", "/apply-template", json={**body, "tool_choice": {"type": "custom", "custom": {"name": "x"}}}
    )
    assert error(refused)["param"] == "tool_choice.custom.name"
    props = (await call(state, "GET", "/props")).json()
    assert props["chat_format"] == "hermes"
    assert props["chat_template_caps"] == {
        "supports_string_content": True,
        "supports_typed_content": False,
        "supports_system_role": True,
        "supports_tools": True,
        "supports_tool_calls": True,
        "supports_object_arguments": True,
        "supports_reasoning_effort": True,
    }
    set_template(state, ChatTemplate("{{ broken"))
    assert (await call(state, "GET", "/props")).json()["chat_template_caps"] == {}


async def test_channels_of_control_tokens() -> None:
    """gpt-oss: without a tool, its markup is as little content as with one."""
    start, channel, message, end = BOS, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE
    thought = [channel, *b"analysis", message, *b"Hm.", end, start, *b"assistant"]
    final = [channel, *b"final", message, *b"Hello!"]
    called = [channel, *b"commentary to=functions.get_time ", message, *b'{"a": 1}']
    pieces = [*INFO.pieces]
    for token, text in ((start, b"<|start|>"), (channel, b"<|channel|>"), (message, b"<|message|>"), (end, b"<|end|>")):
        pieces[token] = text
    for said, fields in ((thought + final, {}), (thought + called, {"tools": TOOLS})):
        state, backend = talking(lambda index, said=said: said)  # type: ignore[misc]
        backend.tokenizer.info = msgspec.structs.replace(INFO, pieces=pieces)
        template = (
            "<|start|><|channel|><|message|>{{ tools | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}"
        )
        set_template(state, ChatTemplate(template + "<|start|>assistant"))
        answer = choice(await chat(state, **fields))
        assert answer["message"]["reasoning"] == "Hm."
        assert answer["message"]["content"] == (None if fields else "Hello!")
        assert bool(answer["message"].get("tool_calls")) == bool(fields)
        streamed, reason = assembled(chunks(await chat(state, stream=True, **fields)))
        assert (streamed["reasoning"], streamed["content"]) == ("Hm.", "" if fields else "Hello!")
        assert reason == ("tool_calls" if fields else "stop")
