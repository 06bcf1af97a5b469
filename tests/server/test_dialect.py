"""What templates are found to take, and are given: tools, calls and results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.chat.builtin import BUILTIN, builtin
from server.chat.dialect import Dialect
from server.chat.template import ChatTemplate
from tests.server.chat_formats.parsing import message
from tests.server.chat_formats.writers import BY_NAME
from tests.server.scripted import INFO

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call00001", "content": "rain"},
]

PRINTS_CALLS = '{% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}"arguments"{% endfor %}'
LOOP = "{%% for m in messages %%}[{{ m.role }}]%s{%% endfor %%}"
TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"


def dialect(source: str) -> Dialect:
    return Dialect(ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}), INFO)


def render(found: Dialect, messages: Any = TURNS, tools: Any = ()) -> str:
    return found.render(messages, tools, add_generation_prompt=True, variables={})


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("{% if m.tool_calls %}" + PRINTS_CALLS + "{% else %}{{ m.content }}{% endif %}", "absent"),
        ("{% if m.content is none %}" + PRINTS_CALLS + "{% else %}{{ m.content }}{% endif %}", "null"),
        ("{{ m.content + '' }}" + PRINTS_CALLS, "empty"),
        ("{{ m['content'] | trim if m['content'] is string else raise_exception('!') }}" + PRINTS_CALLS, "empty"),
    ],
)
def test_templates_differ_in_what_stands_for_no_content(body: str, content: str) -> None:
    found = dialect(TOOLS + LOOP % body)
    style = found.template.style
    assert (style.content_of_calls, style.calls, style.tools) == (content, True, True)
    prompt = render(found, tools=[TOOL])
    assert "Oslo" in prompt and "rain" in prompt and "None" not in prompt
    assert found.format(tools=True).format.name == "hermes"


def test_a_template_that_needs_a_list_of_tools() -> None:
    found = dialect("{% for t in tools %}{{ t.function.name }}{% endfor %}" + LOOP % "{{ m.content }}")
    assert found.template.style.tools_as_list
    assert render(found, TURNS[:1]) == "[user]Weather?"


def test_a_template_that_shows_no_calls() -> None:
    found = dialect(TOOLS + '<tool_call>"arguments"' + LOOP % "{{ m.content }}")
    prompt = render(found, tools=[TOOL])
    assert "Oslo" in prompt and '"get_weather"' in prompt and "# Tools" not in prompt
    assert found.format(tools=True).format.name == "hermes"


@pytest.mark.parametrize(
    ("sign", "call"),
    [
        ("<|tool_call|>", '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]'),
        ("<|tool_call_start|>", '<|tool_call_start|>[get_weather(city="Oslo")]<|tool_call_end|>'),
        ('<tool_call>"arguments"', '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'),
    ],
)
def test_calls_that_a_template_does_not_show_are_text_in_its_format(sign: str, call: str) -> None:
    found = dialect(TOOLS + "{# " + sign + " #}" + LOOP % "{{ m.content }}")
    assert render(found, tools=[TOOL]).endswith(f"[user]Weather?[assistant]{call}[tool]rain")
    without_tool_role = dialect(TOOLS + "{# " + sign + " #}" + LOOP % "{{ m.content if m.role != 'tool' }}")
    assert "[user]<tool_response>\nrain" in render(without_tool_role, tools=[TOOL])


def test_printed_calls_are_read_back() -> None:
    arguments = {"city": "Köln 'Süd'", "exact": True, "days": None, "options": {"hours": [1, 2.5, False]}}
    for name in ("granite-list", "phi-list", "pythonic", "lfm2"):
        text = BY_NAME[name].format.printed([("get_weather", arguments), ("get_time", {})])
        read = message(BY_NAME[name], text or "")
        assert [(call.name, json.loads(call.arguments)) for call in read.calls] == [
            ("get_weather", arguments),
            ("get_time", {}),
        ]


@pytest.mark.parametrize("name", BUILTIN)
def test_the_builtin_templates_with_tools(name: str) -> None:
    found = dialect(builtin(name))
    prompt = render(found, tools=[TOOL])
    assert found.format(tools=True).format.name == "generic"
    assert all(word in prompt for word in ("# Tools", "Weather?", "Oslo", "rain"))
    assert "# Tools" not in render(found) and "Oslo" in render(found)


def test_no_system_messages() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + LOOP % "{{ m.content }}"
    found = dialect(refusing)
    assert not found.template.style.system
    assert render(found, TURNS[:1], [TOOL]).startswith("[user]# Tools")


GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)
"""It refuses system messages, and users or assistants that speak twice."""
BRIEF = {"role": "system", "content": "Be brief."}
HI = {"role": "assistant", "content": "Hi."}


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([BRIEF, TURNS[0]], "[user]Be brief.\n\nWeather?"),
        ([{**BRIEF, "role": "developer"}, TURNS[0]], "[user]Be brief.\n\nWeather?"),
        ([BRIEF, BRIEF, TURNS[0]], "[user]Be brief.\n\nBe brief.\n\nWeather?"),
        ([{"role": "system", "content": [{"type": "text", "text": "Be"}]}, TURNS[0]], "[user]Be\n\nWeather?"),
        ([BRIEF], "[user]Be brief."),
        ([BRIEF, HI, TURNS[0]], "[user]Be brief.[assistant]Hi.[user]Weather?"),
        ([TURNS[0], HI, BRIEF, TURNS[0]], "[user]Weather?[assistant]Hi.[user]Be brief.\n\nWeather?"),
        ([TURNS[0], HI], "[user]Weather?[assistant]Hi."),
    ],
)
def test_what_a_template_refuses_from_the_system_the_user_says(messages: Any, prompt: str) -> None:
    assert render(dialect(GEMMA), messages) == prompt


def test_a_template_that_leaves_system_messages_out() -> None:
    found = dialect("{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    assert render(found, [BRIEF, TURNS[0]]) == "[user]Be brief.\n\nWeather?"


def test_a_template_that_takes_system_messages() -> None:
    assert render(dialect(LOOP % "{{ m.content }}"), [BRIEF, TURNS[0]]) == "[system]Be brief.[user]Weather?"


def test_an_assistant_without_a_text() -> None:
    found = dialect(LOOP % "{{ m.content }}")
    turns: list[dict[str, Any]] = [{"role": "assistant", "content": None}, {"role": "assistant", "refusal": "No."}]
    assert render(found, [TURNS[0], *turns]) == "[user]Weather?[assistant][assistant]No."
