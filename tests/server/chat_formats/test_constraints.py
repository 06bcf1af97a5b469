"""Grammars accept what a format's models write, and nothing else, checked by llguidance on tokens of a byte each."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import pytest

from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.custom import custom_tool
from server.chat.formats.grammar import InputNotEnforceable, LimitNotEnforceable
from server.chat.formats.tools import Tool, ToolChoice
from server.structured.lark_in_json import lark_in_json_rule
from server.structured.place import Place
from tests.server.chat_formats.test_transcripts import CASES, transcript
from tests.server.chat_formats.writers import BY_NAME, TOOLS, WRITTEN, Calls, Written

llguidance = pytest.importorskip("llguidance")

AUTO = ToolChoice()
ONE = ToolChoice(parallel=False)
REQUIRED = ToolChoice("required")


class Bytes:
    """A vocabulary: a token per byte, one per marker, and the end."""

    bos_token_id = None

    def __init__(self, markers: Collection[str], *, control: bool = True) -> None:
        self.tokens = [bytes([value]) for value in range(256)] + [b"<eos>"] + [marker.encode() for marker in markers]
        self.eos_token_id = 256
        self.special_token_ids = list(range(256, len(self.tokens) if control else 257))
        self.ids = {marker: 257 + number for number, marker in enumerate(markers)}
        self.tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(self))
        longest_first = sorted(markers, key=len, reverse=True)
        self._markers = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if markers else None

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)

    def encode(self, text: str) -> list[int]:
        parts = self._markers.split(text) if self._markers else [text]
        return [token for part in parts for token in ([self.ids[part]] if part in self.ids else self(part))]


@lru_cache(maxsize=1000)
def compiled(vocabulary: Bytes, grammar: str) -> Any:
    matcher = llguidance.LLMatcher(vocabulary.tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


@lru_cache
def bytes_and(*markers: str) -> Bytes:
    return Bytes(markers)


def verdict(
    written: Written,
    text: str,
    choice: ToolChoice,
    *,
    control: bool = True,
    tools: Sequence[Tool] = TOOLS,
    prompt: str | None = None,
    content: str | None = None,
    without_last: bool = False,
) -> str:
    """ "yes": the message may be this; "unfinished": it may begin so; else where it may not go on.

    `without_last`: judge the text without its last token.
    """
    chat = ChatFormat(written.format, written.thinking)
    vocabulary = bytes_and(*(sorted(chat.tokens(tools=True)) if control else ()))
    grammar = chat.constraint(tools, choice, written.prompt if prompt is None else prompt, vocabulary.ids, content)
    assert grammar is not None
    matcher = compiled(vocabulary, grammar)
    ids = vocabulary.encode(text)
    ids = ids[:-1] if without_last else ids
    matcher.reset()
    taken = matcher.try_consume_tokens(ids)
    if taken < len(ids):
        return f"no, after {bytes(i if i < 256 else 63 for i in ids[:taken])[-40:]!r}"
    return "yes" if matcher.is_accepting() else "unfinished"


FIT: Calls = [("get_weather", {"city": 'Zürich "Hbf"\n🦙', "days": -7, "exact": False})]
NESTED: Calls = [("get_weather", {"city": "x", "options": {"hours": [1, 2.5], "unit": "F"}})]
NESTED_TOOL = Tool(
    "get_weather",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "options": {
                "type": "object",
                "properties": {"hours": {"type": "array", "items": {"type": "number"}}, "unit": {"enum": ["C", "F"]}},
                "required": ["unit"],
                "additionalProperties": False,
            },
        },
        "required": ["city"],
        "additionalProperties": False,
    },
    strict=True,
)
PYTHON = ("pythonic", "lfm2")
BARE = ("llama-json", "pythonic")
"""What looks like a call of another function is content."""

formats = pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
control = pytest.mark.parametrize("control", [True, False], ids=["tokens", "text"])


@formats
@control
def test_auto_takes_what_models_write(written: Written, control: bool) -> None:
    for case in CASES:
        if case not in ("hard arguments", "no schema") and (written.parallel or len(CASES[case][2]) < 2):
            assert verdict(written, transcript(written, case), AUTO, control=control) == "yes", case


@formats
@control
def test_required(written: Written, control: bool) -> None:
    call = written.calls(FIT)
    assert verdict(written, call, REQUIRED, control=control) == "yes"
    assert verdict(written, "Hello", REQUIRED, control=control).startswith("no")
    assert verdict(written, written.content("Hello"), REQUIRED, control=control).startswith("no")
    assert verdict(written, "", REQUIRED, control=control) == "unfinished"
    assert verdict(written, call, REQUIRED, control=control, without_last=True) == "unfinished"
    if not written.name.startswith("harmony"):
        assert verdict(written, written.thought("So, a call.") + call, REQUIRED, control=control) == "yes"


@formats
@control
def test_only_the_tools_that_may_be_called(written: Written, control: bool) -> None:
    two: Calls = [("get_time", {}), *FIT]
    assert verdict(written, written.calls(two[:1]), ToolChoice.named("get_time"), control=control) == "yes"
    assert verdict(written, written.calls(FIT), ToolChoice.named("get_time"), control=control).startswith("no")
    assert verdict(written, written.calls([("get_times", {})]), REQUIRED, control=control).startswith("no")
    allowed = ToolChoice("auto", frozenset(["get_weather", "note"]))
    assert verdict(written, written.calls(FIT), allowed, control=control) == "yes"
    if not written.name.startswith(("harmony", *BARE)):
        assert not verdict(written, written.calls(two[:1]), allowed, control=control).startswith("yes")


@formats
@control
def test_several_calls_only_if_they_may_be_parallel(written: Written, control: bool) -> None:
    two = written.calls([*FIT, ("get_time", {})])
    assert (verdict(written, two, REQUIRED, control=control) == "yes") == written.parallel
    assert verdict(written, two, ToolChoice("required", parallel=False), control=control).startswith("no")
    assert verdict(written, two, ONE, control=control).startswith("no")


@formats
@pytest.mark.parametrize("choice", [AUTO, REQUIRED], ids=["auto", "required"])
def test_arguments_match_the_schema(written: Written, choice: ToolChoice) -> None:
    tools = [NESTED_TOOL]

    def is_fine(calls: Calls) -> bool:
        text = written.calls(calls)
        if written.name in PYTHON:
            text = text.replace("{'", '{"').replace("':", '":').replace("': ", '": ').replace(" '", ' "')
            text = text.replace("'F'", '"F"').replace("'}", '"}')
        return verdict(written, text, choice, tools=tools) == "yes"

    def with_options(options: dict[str, Any]) -> Calls:
        return [("get_weather", {"city": "x", "options": options})]

    assert is_fine(NESTED)
    assert is_fine([("get_weather", {"city": "x"})])
    assert not is_fine([("get_weather", {})])
    assert not is_fine([("get_weather", {"city": "x", "other": 1})])
    assert not is_fine(with_options({"unit": "K"}))
    assert not is_fine(with_options({}))
    assert not is_fine(with_options({"hours": ["1"], "unit": "F"}))


@formats
def test_the_prompt_has_opened_thinking(written: Written) -> None:
    if written.thinking is None:
        return
    call = written.calls(FIT)
    prompt = f"assistant\n{written.thinking.open}\n"
    thought = f"I call.{written.thinking.close}"
    assert verdict(written, thought + call, REQUIRED, prompt=prompt) == "yes"
    assert verdict(written, thought + "Hello", REQUIRED, prompt=prompt).startswith("no")
    assert verdict(written, thought + "Hello", AUTO, prompt=prompt) == "yes"
    assert verdict(written, "I think on", AUTO, prompt=prompt) == "unfinished"
    assert verdict(written, thought + call, AUTO, prompt=prompt) == "yes"


@formats
def test_content_of_a_schema_begins_after_thinking(written: Written) -> None:
    body = '%json {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    for tools in ([], TOOLS):
        answer = written.content('{"a": 1}')
        assert verdict(written, answer, AUTO, tools=tools, content=body) == "yes"
        assert verdict(written, written.thought("{So}") + answer, AUTO, tools=tools, content=body) == "yes"
        assert verdict(written, written.content('{"a": "1"}'), AUTO, tools=tools, content=body).startswith("no")
        assert verdict(written, written.content("Hi"), AUTO, tools=tools, content=body).startswith("no")
    assert verdict(written, written.calls(FIT), AUTO, content=body) == "yes"


@formats
@control
def test_content_of_a_pattern_begins_at_once(written: Written, control: bool) -> None:
    """Only behind thinking, whitespace is none of it."""
    for tools in ([], TOOLS):
        for text, fits in (("yes", True), (" yes", False), ("\nyes", False), ("yes ", False), ("no", False)):
            found = verdict(written, written.content(text), AUTO, control=control, tools=tools, content="/yes/")
            assert (found == "yes") == fits, text
        thought = written.thought("So.") + written.content("yes")
        assert verdict(written, thought, AUTO, control=control, tools=tools, content="/yes/") == "yes"


@formats
@pytest.mark.parametrize("case", ["content, call", "thinking, call"])
def test_markers_that_are_ordinary_tokens(written: Written, case: str) -> None:
    """A call that the model opens with such a token is constrained, though free text could hold the token, too."""
    chat = ChatFormat(written.format, written.thinking)
    vocabulary = Bytes(sorted(chat.tokens(tools=True)), control=False)
    grammar = chat.constraint(TOOLS, AUTO, written.prompt, vocabulary.ids)
    assert grammar is not None
    matcher = compiled(vocabulary, grammar)
    ids = vocabulary.encode(transcript(written, case))
    assert matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()
    matcher.reset()
    wrong = vocabulary.encode(transcript(written, case).replace("get_weather", "get_weathers"))
    if written.format.tokens and written.name not in ("llama-json", "pythonic"):
        assert matcher.try_consume_tokens(wrong) < len(wrong)


def test_nothing_to_constrain() -> None:
    chat = ChatFormat(BY_NAME["hermes"].format, None)
    assert chat.constraint(TOOLS, ToolChoice("none"), "", {}) is None
    assert chat.constraint([], AUTO, "", {}) is None
    assert chat.constraint(TOOLS, ToolChoice("auto", frozenset(["nobody"])), "", {}) is None


def test_keywords_that_cannot_be_enforced() -> None:
    """They are an error if the tool is strict, and ignored otherwise."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "no-such-format"}}}
    call = BY_NAME["hermes"].calls([("f", {"a": "x"})])
    assert verdict(BY_NAME["hermes"], call, AUTO, tools=[Tool("f", schema)]) == "yes"
    with pytest.raises(AssertionError, match="no-such-format"):
        verdict(BY_NAME["hermes"], call, AUTO, tools=[Tool("f", schema, strict=True)])


def test_references() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "additionalProperties": False}
    schema = {"type": "object", "properties": {"node": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    for written in WRITTEN:
        if written.name in PYTHON:
            continue
        for value, expected in (({"next": {"next": {}}}, True), ({"next": 3}, False)):
            found = verdict(written, written.calls([("f", {"node": value})]), REQUIRED, tools=[Tool("f", schema)])
            assert (found == "yes") == expected, written.name


def test_many_tools() -> None:
    tools = [Tool(f"function_{number}", TOOLS[0].parameters) for number in range(100)]
    for name in ("hermes", "gemma", "qwen-xml", "harmony", "pythonic"):
        written = BY_NAME[name]
        call = written.calls([("function_77", {"city": "Oslo", "days": 3})])
        assert verdict(written, call, AUTO, tools=tools) == "yes"


@formats
@pytest.mark.parametrize("opened", [False, True], ids=["", "opened"])
def test_a_budget_for_thinking(written: Written, opened: bool) -> None:
    chat = ChatFormat(written.format, written.thinking)
    if not chat.thinks or (opened and written.thinking is None):
        return
    start, end = "<|channel|>analysis<|message|>", "<|end|><|start|>assistant"
    if written.thinking is not None:
        start, end = written.thinking.open, written.thinking.close
    prompt = f"assistant\n{start}\n" if opened else written.prompt
    begin = "" if opened else start
    answer = written.content("Hello")
    vocabulary = bytes_and(*sorted(chat.tokens(tools=True)))

    def judged(thought: str, budget: int, tools: Sequence[Tool]) -> str:
        grammar = chat.constraint(tools, AUTO, prompt, vocabulary.ids, budget=budget)
        assert grammar is not None
        matcher = compiled(vocabulary, grammar).deep_copy()  # llguidance takes nothing back from limited text
        ids = vocabulary.encode(begin + thought)
        taken = matcher.try_consume_tokens(ids)
        return "yes" if taken == len(ids) and matcher.is_accepting() else "no" if taken < len(ids) else "unfinished"

    for tools in ([], TOOLS):
        assert judged("Hm, so.\n" + end + answer, 40, tools) == "yes"
        assert judged("Hm, so, and on", 40, tools) == "unfinished"
        assert judged("x" * 50, 40, tools) == "no"
        assert judged("x" * 40 + end + answer, 40, tools) == "yes"
        assert judged(end + answer, 0, tools) == "yes"
        assert judged("xx", 0, tools) == "no"


def test_a_budget_needs_a_token_that_ends_thinking() -> None:
    chat = ChatFormat(BY_NAME["hermes"].format, BY_NAME["hermes"].thinking)
    assert chat.constraint([], AUTO, "", {}, budget=0) is not None
    with pytest.raises(LimitNotEnforceable):
        chat.constraint([], AUTO, "", {}, budget=5)
    assert ChatFormat(BY_NAME["hermes"].format, None).constraint([], AUTO, "", {}, budget=5) is None


LINES = """
start: ("-" LINE)+ "done \\"" WORD "\\""
LINE: /[^\n]*\n/
WORD: /[a-z]+/
"""


@formats
@control
def test_custom_tools_with_a_grammar(written: Written, control: bool) -> None:
    """Where calls are JSON: what stands for the grammar's texts in it."""
    tools = [custom_tool("note", rule=lark_in_json_rule(LINES, Place("definition")))]
    good, bad = '- "a" \\ é\n-\t\ndone "x"', '- "a"\n-done "x"'
    call = written.calls([("note", {"input": good})])
    if not written.format.verbatim:
        with pytest.raises(InputNotEnforceable, match="'note'"):
            verdict(written, call, REQUIRED, control=control, tools=tools)
        return
    assert verdict(written, call, REQUIRED, control=control, tools=tools) == "yes"
    assert verdict(written, written.calls([("note", {"input": bad})]), REQUIRED, control=control, tools=tools) != "yes"


@formats
@control
def test_custom_tools_with_a_pattern(written: Written, control: bool) -> None:
    tools = [custom_tool("play", r"[a-h][1-8]( [a-h/]+)?")]
    for text, fits in (("e4", True), ("e4 a/h", True), ("e9", False), ("e4x", False), ("xe4", False), ("", False)):
        call = written.calls([("play", {"input": text})])
        if written.name in PYTHON:
            call = call.replace("'", '"')
        assert (verdict(written, call, REQUIRED, control=control, tools=tools) == "yes") == fits, text
