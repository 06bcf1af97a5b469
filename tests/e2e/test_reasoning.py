"""Thinking and prefill on the demo model, whose template takes an optional block."""

from __future__ import annotations

from typing import Any

from openai.types.chat import ChatCompletion

from .serving import DEMO, Server
from .test_tools import OSLO, TOOLS

SUM: list[Any] = [{"role": "user", "content": "What is 17 plus 25?"}]
FRANCE: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


def ask(server: Server, messages: list[Any], **options: Any) -> ChatCompletion:
    with server.client() as client:
        return client.chat.completions.create(model=DEMO, messages=messages, **{"temperature": 0, **options})


def reasoning(answer: ChatCompletion) -> tuple[str, int]:
    """Its text, and how many tokens it was."""
    message = answer.choices[0].message
    text = getattr(message, "reasoning_content", "")
    assert text == getattr(message, "reasoning", "")
    assert answer.usage is not None and answer.usage.completion_tokens_details is not None
    return text, answer.usage.completion_tokens_details.reasoning_tokens or 0


def test_on_and_off(demo: Server) -> None:
    assert reasoning(ask(demo, SUM)) == ("", 0)
    assert reasoning(ask(demo, SUM, reasoning_effort="none")) == ("", 0)
    for options in ({"reasoning_effort": "high"}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}):
        answer = ask(demo, SUM, **options)
        text, tokens = reasoning(answer)
        assert "17" in text and answer.usage is not None
        assert 5 < tokens < answer.usage.completion_tokens
        content = answer.choices[0].message.content or ""
        assert content and "think>" not in content + text


def test_streaming(demo: Server) -> None:
    whole = ask(demo, SUM, reasoning_effort="high")
    with demo.client() as client:
        stream = client.chat.completions.create(
            model=DEMO, messages=SUM, reasoning_effort="high", temperature=0, stream=True,
            stream_options={"include_usage": True},
        )  # fmt: skip
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    text = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert text == reasoning(whole)[0]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    first_content = next(i for i, delta in enumerate(deltas) if delta.content)
    assert all(not hasattr(delta, "reasoning_content") for delta in deltas[first_content:])
    usage = chunks[-1].usage
    assert usage is not None and usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == reasoning(whole)[1]


def test_reasoning_left_in_the_content(demo: Server) -> None:
    answer = ask(demo, SUM, reasoning_effort="high", extra_body={"reasoning_format": "none"})
    content = answer.choices[0].message.content or ""
    assert content.startswith("<think>\n") and "\n</think>\n\n" in content
    assert not hasattr(answer.choices[0].message, "reasoning_content")


def test_a_budget(demo: Server) -> None:
    free = reasoning(ask(demo, SUM, reasoning_effort="high"))[1]
    for budget in (0, 6):
        answer = ask(demo, SUM, reasoning_effort="high", extra_body={"reasoning_budget_tokens": budget})
        text, tokens = reasoning(answer)
        assert tokens <= budget + 3 < free, "and the two markers"
        assert bool(text) == bool(budget) and answer.choices[0].message.content


def test_thinking_before_a_call(demo: Server) -> None:
    """Constraints begin behind the block, here one that the client has begun."""
    begun = {"role": "assistant", "content": "<think>\nThe user wants"}
    options = {"tool_choice": "required", "extra_body": {"reasoning_budget_tokens": 20}}
    answer = ask(demo, [*OSLO, begun], tools=TOOLS, **options)
    assert answer.choices[0].finish_reason == "tool_calls"
    text, tokens = reasoning(answer)
    assert answer.choices[0].message.content is None and text and 3 < tokens < 25
    assert {call.type for call in answer.choices[0].message.tool_calls or []} == {"function"}


def test_prefill(demo: Server) -> None:
    answer = ask(demo, [*FRANCE, {"role": "assistant", "content": "The capital of"}])
    content = answer.choices[0].message.content or ""
    assert content.startswith(" ") and "Paris" in content and "capital" not in content
    anew = ask(demo, [*FRANCE, {"role": "assistant", "content": "The"}], extra_body={"add_generation_prompt": True})
    assert anew.choices[0].message.content != content


def test_none_unasked_where_little_else_is_allowed(demo: Server) -> None:
    """A call that is demanded of a model that doesn't know the tool, and would rather think for ever."""
    parameters = {"type": "object", "properties": {"kind": {"enum": ["red", "blue"]}}, "required": ["kind"]}
    tool: Any = {"type": "function", "function": {"name": "file_report", "parameters": parameters}}
    for options in ({}, {"reasoning_effort": "none"}):
        answer = ask(demo, FRANCE, tools=[tool], tool_choice="required", max_tokens=200, **options)
        assert answer.choices[0].finish_reason == "tool_calls"
        assert reasoning(answer)[0] == ""
    schema = {"name": "answer", "schema": parameters}
    answer = ask(demo, FRANCE, response_format={"type": "json_schema", "json_schema": schema}, max_tokens=200)
    assert answer.choices[0].finish_reason == "stop"
    assert reasoning(answer)[0] == ""
