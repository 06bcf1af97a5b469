"""Every format: what its models write is read, however the text is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.chat_formats.message import Message
from tests.server.chat_formats.parsing import events, message
from tests.server.chat_formats.writers import WRITTEN, Calls, Written

HARD = "Zürich \"Hbf\"\n\tC:\\temp {x: [1]} 🦙 </b> \\u00e9 'q'"
OSLO: Calls = [("get_weather", {"city": "Oslo", "days": 2})]
TWO: Calls = [*OSLO, ("get_time", {}), ("get_weather", {"city": "Köln"})]
NESTED: Calls = [
    (
        "get_weather",
        {
            "city": HARD,
            "days": -7,
            "exact": True,
            "options": {"unit": "F", "hours": [1, 2.5, -3e20], "more": {"deep": [{"a": None}, [], {}, HARD]}},
        },
    )
]

CASES: dict[str, tuple[str | None, str | None, Calls]] = {
    "content": (None, "Hello there.\n\nHow are you?", []),
    "content with marks": (None, 'if a < b: {"name": 1} [x](y) <tool> <|x|> [TOOL', []),
    "call": (None, None, OSLO),
    "no arguments": (None, None, [("get_time", {})]),
    "parallel": (None, None, TWO),
    "thinking, content": ("The user greets me.\nSo be it.", "Hello!", []),
    "thinking, call": ("Where is <b>Oslo</b>?", None, OSLO),
    "content, call": (None, "Let me look 🦙.", OSLO),
    "thinking, content, calls": ("Two of them.", "One moment.", TWO),
    "hard arguments": ("Hm.", None, NESTED),
    "no schema": (None, None, [("other", {"x": 1.5, "y": [True, "a"]})]),
}


def transcript(written: Written, case: str) -> str:
    thinking, content, calls = CASES[case]
    text = written.thought(thinking) if thinking is not None else ""
    if content is not None:
        text += written.content_before(content) if calls else written.content(content)
    return text + (written.calls(calls) if calls else "")


def expected(case: str) -> tuple[str, str, list[tuple[str, Any, bool]]]:
    thinking, content, calls = CASES[case]
    return content or "", thinking or "", [(name, arguments, True) for name, arguments in calls]


def shown(found: Message) -> tuple[str, str, list[tuple[str, Any, bool]]]:
    calls = [(call.name, json.loads(call.arguments), call.complete) for call in found.calls]
    return found.content, found.reasoning, calls


formats = pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)


@formats
def test_whole_and_in_single_characters(written: Written) -> None:
    for case in CASES:
        text = transcript(written, case)
        assert shown(message(written, text)) == expected(case), case
        assert events(written, list(text)) == events(written, [text]), case


@pytest.mark.parametrize("case", ["content with marks", "thinking, content, calls", "hard arguments"])
@formats
def test_split_anywhere(written: Written, case: str) -> None:
    text = transcript(written, case)
    whole = events(written, [text])
    for cut in range(len(text) + 1):
        assert events(written, [text[:cut], text[cut:]]) == whole


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_split_in_many_places(data: st.DataObject) -> None:
    written = data.draw(st.sampled_from(WRITTEN), "format")
    text = transcript(written, data.draw(st.sampled_from(list(CASES)), "case"))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12), "cuts"))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert events(written, pieces) == events(written, [text])


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_split_in_many_places_without_tools(data: st.DataObject) -> None:
    """Where nothing but content can follow, text isn't parsed any more."""
    written = data.draw(st.sampled_from(WRITTEN), "format")
    words = st.sampled_from(["a", " ", "\n", "é", "<", "<think>", "</think>", "<tool_call>", *written.format.tokens])
    text = "".join(data.draw(st.lists(words, max_size=12), "text"))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8), "cuts"))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert events(written, pieces, tools=[]) == events(written, [text], tools=[])


@formats
def test_markers_never_show(written: Written) -> None:
    for case in CASES:
        if case != "content with marks":
            found = message(written, transcript(written, case))
            assert not any(token in found.content for token in written.format.tokens)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
JSON_FORMATS = [
    written
    for written in WRITTEN
    if written.name.startswith(("hermes", "mistral", "deepseek-f", "kimi", "harmony", "llama", "cohere", "minimax-m1"))
]


@given(st.sampled_from(JSON_FORMATS), values)
@settings(max_examples=150, deadline=None)
def test_any_json(written: Written, value: Any) -> None:
    calls = [("get_weather", {"city": value})]
    found = message(written, written.calls(calls))
    assert shown(found) == ("", "", [("get_weather", {"city": value}, True)])


python_text = st.text(st.characters(exclude_categories=["Cs"]))
python_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | python_text,
    lambda inner: st.lists(inner) | st.dictionaries(python_text, inner),
    max_leaves=8,
)


@given(python_values)
@settings(max_examples=150, deadline=None)
def test_any_python(value: Any) -> None:
    written = next(written for written in WRITTEN if written.name == "pythonic")
    found = message(written, written.calls([("get_weather", {"city": value})]))
    assert shown(found) == ("", "", [("get_weather", {"city": value}, True)])


text_without_markup = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"))
RAW_FORMATS = [
    written
    for written in WRITTEN
    if "xml" in written.name or written.name.startswith(("glm", "gemma", "deepseek-dsml", "minimax-m2"))
]


@given(st.sampled_from(RAW_FORMATS), text_without_markup)
@settings(max_examples=150, deadline=None)
def test_any_raw_text(written: Written, text: str) -> None:
    found = message(written, written.calls([("note", {"text": text, "tags": [text, ""]})]))
    assert shown(found) == ("", "", [("note", {"text": text, "tags": [text, ""]}, True)])
