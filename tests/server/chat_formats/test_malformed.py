"""Output that isn't what its format says: nothing raises, nothing is lost, and it can be cut anywhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.formats.events import CallArguments, CallEnded, CallStarted, ContentText, Event, ReasoningText
from server.chat.formats.registry import FORMATS
from tests.server.chat_formats.parsing import check_order, events, message
from tests.server.chat_formats.writers import BY_NAME, WRITTEN, Written

WORDS = "q0q q1q q2q q3q q4q q5q".split()


def rich(written: Written) -> str:
    """Thinking, content and two calls, with a word of its own in each place."""
    return (
        written.thought(f"{WORDS[0]} thought")
        + written.content_before(f"{WORDS[1]} said")
        + written.calls(
            [
                ("get_weather", {"city": f"{WORDS[2]} town", "days": 12, "options": {"unit": WORDS[3]}}),
                ("note", {"text": WORDS[4], "tags": [WORDS[5]]}),
            ]
        )
    )


def everything(found: list[Event]) -> str:
    """All that was told, in order."""
    parts = []
    for event in found:
        match event:
            case ContentText(text) | ReasoningText(text) | CallArguments(_, text):
                parts.append(text)
            case CallStarted(_, name):
                parts.append(f" {name} ")
    return "".join(parts)


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_cut_off_anywhere(written: Written) -> None:
    text = rich(written)
    for end in range(len(text)):
        cut = text[:end]
        found = events(written, [cut])
        check_order(found)
        if end % 5 == 0:
            assert events(written, list(cut)) == found
        told = everything(found)
        for word in WORDS:
            assert (word in told) == (word in cut)
        if ending := re.search(r"q[0-5]$", cut):
            assert ending.group() in told


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_damaged_anywhere(written: Written) -> None:
    """A character more or less never costs a word that it isn't in."""
    text = rich(written)
    for at in range(len(text)):
        for damaged in (text[:at] + text[at + 1 :], text[:at] + "\x00~" + text[at:]):
            found = events(written, [damaged])
            check_order(found)
            told = everything(found)
            assert all(word in told for word in WORDS if word in damaged)


pieces = st.lists(
    st.one_of(
        st.sampled_from(
            sorted(
                {token for known in FORMATS for token in known.tokens}
                | {"<think>", "</think>", "<function=get_weather>", "<parameter=city>", "</parameter>", "</function>"}
                | {'{"name": "get_weather", "arguments": {', '"city": "', '"}', "{", "}", "[", "]", "get_weather("}
                | {"get_weather", "call:get_weather{city:", " to=functions.get_weather", "final", "analysis", "city="}
                | {"functions.get_weather:0", '<invoke name="get_weather">', '<parameter name="city">', "</invoke>"}
                | {"\n", " ", "```json\n", "function", ",", ":", '"', "'", "\\", "\\u", "12", "-", "null", "{}", "()"}
            )
        ),
        st.text(max_size=5),
    ),
    max_size=25,
)


@given(st.sampled_from(WRITTEN), pieces)
@settings(max_examples=600, deadline=None)
def test_garbage(written: Written, pieces: list[str]) -> None:
    found = events(written, pieces)
    check_order(found)
    assert found == events(written, ["".join(pieces)]) == events(written, list("".join(pieces)))


@given(st.sampled_from(WRITTEN), st.lists(st.text(max_size=20), max_size=10))
@settings(max_examples=300, deadline=None)
def test_without_tools_text_is_content(written: Written, texts: list[str]) -> None:
    if not any(mark in "".join(texts) for mark in ("<|", "<think", "</think", "[THINK", "[/THINK", "<response")):
        whole = "".join(texts)
        assert message(written, *texts, tools=[]).content == whole


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_without_tools_calls_are_content(written: Written) -> None:
    if not written.name.startswith("harmony"):
        text = written.calls([("get_weather", {"city": "Oslo"})])
        assert message(written, text, tools=[]).content == text
    else:
        text = '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Oslo"}'
        assert message(written, text, tools=[]).content == '{"city": "Oslo"}'


@pytest.mark.parametrize(
    ("name", "text", "content"),
    [
        ("hermes", "<tool_call>\nno call\n</tool_call>", "\nno call\n"),
        ("hermes", '<tool_call>\n{"name": oops}\n</tool_call> then', '\n{"name": oops}\n then'),
        ("hermes", 'A <tool_call>{"arguments": {"a": 1}}</tool_call> B', 'A {"arguments": {"a": 1}} B'),
        ("hermes", 'A <tool_call>{"name": "f", "arguments": 3}</tool_call>', 'A {"name": "f", "arguments": 3}'),
        ("hermes", "the tag <tool_ca", "the tag <tool_ca"),
        ("hermes", "</tool_call>Hello", "Hello"),
        ("llama-json", '{"name": "nobody", "parameters": {}}', '{"name": "nobody", "parameters": {}}'),
        ("llama-json", '{"city": "Oslo"}', '{"city": "Oslo"}'),
        ("llama-json", "<|python_tag|>print(1)", "print(1)"),
        ("pythonic", "[1, 2, 3]", "[1, 2, 3]"),
        ("pythonic", "[nobody(a=1)]", "[nobody(a=1)]"),
        ("pythonic", "[get_weather, get_time]", "[get_weather, get_time]"),
        ("mistral", "[TOOL_CALLS]not a call", "not a call"),
        ("deepseek", "<｜tool▁calls▁begin｜>what<｜tool▁calls▁end｜>", "what"),
        ("kimi-k2", "<|tool_calls_section_begin|><|tool_calls_section_end|>Hi", "Hi"),
        ("qwen-xml", "<tool_call>\n<function>\n</tool_call>", "\n<function>\n"),
        ("glm", "<tool_call>two words</tool_call>", "two words"),
        ("minimax-m2", "<minimax:tool_call>\nnothing\n</minimax:tool_call>", "\nnothing\n"),
        ("gemma", "<|tool_call>what?<tool_call|>", "what?"),
        ("harmony", "<|channel|>commentary to=functions.f<|message|>no JSON", "no JSON"),
        ("harmony", "no header at all", "no header at all"),
        ("harmony", "<|channel|>final", ""),
    ],
)
def test_no_call_is_content(name: str, text: str, content: str) -> None:
    found = message(BY_NAME[name], text)
    assert (found.content, found.calls) == (content, [])


def test_a_call_that_breaks_off_is_not_complete() -> None:
    found = events(BY_NAME["hermes"], ['<tool_call>{"name": "f", "arguments": {"a": 1, oops}}</tool_call> B'])
    assert found == [CallStarted(0, "f"), CallArguments(0, '{"a": 1, '), ContentText("oops}} B")]


def test_the_call_after_a_broken_one_is_read() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a" 1}}</tool_call>\n<tool_call>{"name": "g", "arguments": {}}'
    found = events(BY_NAME["hermes"], [text])
    assert found[-3:] == [CallStarted(1, "g"), CallArguments(1, "{}"), CallEnded(1)]


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
@pytest.mark.parametrize("opening", ["[", "{", '{"a":', '{"function":', "(", "<think>", "<tool_call>"])
def test_deep_nesting(written: Written, opening: str) -> None:
    start = written.calls([("get_weather", {"city": "Oslo", "options": {"a": 1}})])
    events(written, [start.partition("1")[0] + opening * 5000, opening * 5000])
    events(written, [opening * 5000])
    events(written, [start.partition("{")[0] + opening * 5000])
