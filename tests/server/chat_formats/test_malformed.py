"""Output that isn't what its format says: nothing raises, nothing is lost, and it can be cut anywhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.events import CallArguments, CallEnded, CallStarted, ContentText, Event, ReasoningText
from server.chat.formats.registry import FORMATS
from tests.server.chat_formats.message import Message
from tests.server.chat_formats.parsing import check_order, events, message
from tests.server.chat_formats.writers import BY_NAME, TOOLS, WRITTEN, Written

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
        ("hermes", "<tool_call>\nno call\n</tool_call>", None),
        ("hermes", '<tool_call>\n{"name": oops}\n</tool_call> then', None),
        ("hermes", 'A <tool_call>{"arguments": {"a": 1}}</tool_call> B', None),
        ("hermes", 'A <tool_call>{"name": "f", "arguments": 3}</tool_call>', None),
        ("hermes", "the tag <tool_ca", None),
        ("hermes", "Use <tool_call> tags", None),
        ("hermes", '{"s":"<tool_call>x</tool_call>"}', None),
        ("hermes", "</tool_call>Hello", None),
        ("llama-json", '{"name": "nobody", "parameters": {}}', None),
        ("llama-json", '{"parameters": {"city": "x"}, "name": "get_weather"}', None),
        ("llama-json", '{"city": "Oslo"}', None),
        ("llama-json", "<|python_tag|>print(1)", None),
        ("pythonic", "[1, 2, 3]", None),
        ("pythonic", "[nobody(a=1)]", None),
        ("pythonic", "[get_weather, get_time]", None),
        ("mistral", "[TOOL_CALLS]not a call", None),
        ("deepseek", "<｜tool▁calls▁begin｜>what<｜tool▁calls▁end｜>", None),
        ("kimi-k2", "<|tool_calls_section_begin|><|tool_calls_section_end|>Hi", None),
        ("qwen-xml", "<tool_call>\n<function>\n</tool_call>", None),
        ("qwen-xml", "auto f = x</function>;", None),
        ("glm", "<tool_call>two words</tool_call>", None),
        ("granite-list", "It says </response> there", None),
        ("granite-list", "It says <response> there", None),
        ("minimax-m2", "<minimax:tool_call>\nnothing\n</minimax:tool_call>", None),
        ("gemma", "<|tool_call>what?<tool_call|>", None),
        ("harmony", "<|channel|>commentary to=functions.f<|message|>no JSON", "no JSON"),
        ("harmony", '<|channel|>commentary to=functions.nobody<|message|>{"a": 1}', '{"a": 1}'),
        ("harmony", "no header at all", None),
        ("harmony", "<|channel|>final", ""),
    ],
)
def test_no_call_is_content(name: str, text: str, content: str | None) -> None:
    """None: the text as it is."""
    found = message(BY_NAME[name], text)
    assert (found.content, found.calls) == (text if content is None else content, [])
    assert found == message(BY_NAME[name], *text)


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_what_may_not_be_called_is_content(written: Written) -> None:
    text = written.calls([("rm_rf", {"city": "Oslo"})])
    found = message(written, text)
    assert not found.calls and "Oslo" in found.content
    if not written.name.startswith("harmony"):
        assert found.content == text


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_a_call_too_many_is_content(written: Written) -> None:
    text = written.calls([("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})])
    chat = ChatFormat(written.format, written.thinking)
    parser = chat.parser(TOOLS, written.prompt, many=False)
    found = Message()
    found.add([*parser.feed(text), *parser.finish()])
    assert len(found.calls) == 1 and "Rome" in found.content


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_a_call_that_is_cut_off_leaves_no_content(written: Written) -> None:
    text = written.calls([("get_weather", {"city": "Oslo", "exact": True, "days": 12})])
    for end in range(text.index("Oslo") + 2, len(text)):
        found = message(written, text[:end])
        assert len(found.calls) == 1 and not found.content
    if written.format.verbatim:
        cut = message(written, text[: text.index("true") + 2])
        assert cut.calls[0].arguments == '{"city": "Oslo", "exact": tr'


def test_a_call_that_breaks_off_is_not_complete() -> None:
    found = events(BY_NAME["hermes"], ['<tool_call>{"name": "f", "arguments": {"a": 1, oops}}</tool_call> B'])
    assert found == [CallStarted(0, "f"), CallArguments(0, '{"a": 1, '), ContentText("oops}}</tool_call> B")]


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
