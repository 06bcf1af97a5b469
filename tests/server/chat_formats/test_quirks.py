"""What models do beyond what their templates show, format by format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.chat.formats.thinking import Thinking
from server.chat.formats.tools import Tool
from tests.server.chat_formats.parsing import message
from tests.server.chat_formats.writers import BY_NAME

Calls = list[tuple[str, Any]]

OSLO: Calls = [("get_weather", {"city": "Oslo"})]
DEEPSEEK_CALL = '<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜>'


@pytest.mark.parametrize(
    ("name", "text", "content", "calls"),
    [
        # JSON objects: members in any order, other names, nesting, arguments as text, none at all
        ("hermes", '<tool_call>{"arguments": {"city": "Oslo"}, "name": "get_weather"}</tool_call>', "", OSLO),
        ("hermes", '<tool_call>{"name": "get_weather", "parameters": {"city": "Oslo"}}</tool_call>', "", OSLO),
        ("hermes", '<tool_call>{"name":"get_weather","arguments":"{\\"city\\": \\"Oslo\\"}"}</tool_call>', "", OSLO),
        ("hermes", '<tool_call>{"name": "get_time"}</tool_call>', "", [("get_time", {})]),
        ("hermes", '<tool_call>{"name": "get_time", "arguments": null}</tool_call>', "", [("get_time", {})]),
        ("hermes", '<tool_call>{"name": "get_time", "arguments": ""}</tool_call>', "", [("get_time", {})]),
        (
            "hermes",
            '<tool_call>{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}',
            "",
            OSLO,
        ),
        ("hermes", '<tool_call>[{"name": "get_weather", "arguments": {"city": "Oslo"}},]</tool_call>', "", OSLO),
        ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo",}}</tool_call>', "", OSLO),
        (
            "hermes",
            '<tool_call>{"name": "note", "arguments": {"text": "two\nlines", "ok": True}}</tool_call>',
            "",
            [("note", {"text": "two\nlines", "ok": True})],
        ),
        (
            "hermes",
            '<tool_call>{"name": "note", "arguments": {"text": "\\d \\\' \\""}}</tool_call>',
            "",
            [("note", {"text": "\\d ' \""})],
        ),
        ("hermes", '<tool_call>{"name": "get_time", "arguments": {}}</tool_call> Done.', "Done.", [("get_time", {})]),
        (
            "hermes",
            'One\n<tool_call>{"name": "get_time", "arguments": {}}</tool_call>\n\nTwo',
            "One\n\n\nTwo",
            [("get_time", {})],
        ),
        # no marker at all
        ("generic", '{"name": "get_weather", "arguments": {"city": "Oslo"}}', "", OSLO),
        ("generic", 'Sure:\n{"name": "get_weather", "arguments": {"city": "Oslo"}}', "Sure:", OSLO),
        (
            "generic",
            'Like {"name": "get_weather", "arguments": {}}',
            'Like {"name": "get_weather", "arguments": {}}',
            [],
        ),
        # Llama
        ("llama-json", '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Oslo"}}', "", OSLO),
        ("llama-json", '{"type": "function", "name": "get_weather", "parameters": {"city": "Oslo"}}', "", OSLO),
        (
            "llama-json",
            '{"name": "get_weather", "parameters": {"city": "Oslo"}}\n{"name": "get_time", "parameters": {}}',
            "",
            [*OSLO, ("get_time", {})],
        ),
        (
            "pythonic",
            '<|python_start|>[get_weather("Oslo", days=2)]<|python_end|>',
            "",
            [("get_weather", {"city": "Oslo", "days": 2})],
        ),
        ("pythonic", "[ get_weather( city = 'Os\\'lo' , ) ]", "", [("get_weather", {"city": "Os'lo"})]),
        (
            "pythonic",
            r"""[note(text="a\n\t\x41\u00e9\U0001F999\q", tags=('x', None, True, 0x1F, 1_000, -.5, {"k": false}))]""",
            "",
            [("note", {"text": "a\n\tAé🦙\\q", "tags": ["x", None, True, 31, 1000, -0.5, {"k": False}]})],
        ),
        ("lfm2", '<|tool_call_start|>[cal.add(title="x")]<|tool_call_end|>ok', "ok", [("cal.add", {"title": "x"})]),
        # Mistral: every generation's way, in every generation
        ("mistral", '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}}]', "", OSLO),
        ("mistral", '[TOOL_CALLS]get_weather{"city": "Oslo"}', "", OSLO),
        ("mistral", '[TOOL_CALLS] get_weather [ARGS] {"city": "Oslo"}', "", OSLO),
        ("mistral-list", '[TOOL_CALLS]get_weather[CALL_ID]abc[ARGS]{"city": "Oslo"}', "", OSLO),
        # DeepSeek: the section's marker misspelled or missing, either way of writing arguments
        ("deepseek", DEEPSEEK_CALL, "", OSLO),
        ("deepseek", f"<｜tool_calls_begin｜>{DEEPSEEK_CALL}<｜tool▁calls▁end｜>", "", OSLO),
        ("deepseek-fenced", f"<｜tool▁calls▁begin｜>{DEEPSEEK_CALL}", "", OSLO),
        (
            "deepseek",
            '<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Oslo"}\n```<｜tool▁call▁end｜>',
            "",
            OSLO,
        ),
        (
            "deepseek-dsml",
            '<｜DSML｜function_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="false">1'
            '</｜DSML｜parameter><｜DSML｜parameter name="b">2</｜DSML｜parameter></｜DSML｜invoke>',
            "",
            [("f", {"a": 1, "b": 2})],
        ),
        # Kimi: no section, names that look like ids
        (
            "kimi-k2",
            '<|tool_call_begin|>functions.a.b:c:12<|tool_call_argument_begin|> {"x": 1}<|tool_call_end|>',
            "",
            [("a.b:c", {"x": 1})],
        ),
        # Qwen: no opening marker, values without lines of their own, typed by the schema, markers inside of values
        ("qwen-xml", "<function=get_weather>\n<parameter=city>Oslo</parameter>\n</function>\n</tool_call>", "", OSLO),
        (
            "qwen-xml",
            "<tool_call><function=get_weather><parameter=city>\n12\n</parameter><parameter=days>\n12\n</parameter>"
            "<parameter=exact>\nTrue\n</parameter><parameter=other>\n[1, {'a': None}]\n</parameter></function>",
            "",
            [("get_weather", {"city": "12", "days": 12, "exact": True, "other": [1, {"a": None}]})],
        ),
        (
            "qwen-xml",
            "<function=note><parameter=text>\n\n<a>\n</parameter> no\n\n</parameter>\n</function>",
            "",
            [("note", {"text": "\n<a>\n</parameter> no\n"})],
        ),
        (
            "qwen-xml",
            "<function=get_weather><parameter=days>\nmany\n</parameter></function>",
            "",
            [("get_weather", {"days": "many"})],
        ),
        ("qwen-xml", "<tool_call><function=get_weather><parameter=city>Oslo</parameter>\n</tool_call>", "", OSLO),
        # GLM: any whitespace, no arguments
        ("glm", "<tool_call>get_time</tool_call>", "", [("get_time", {})]),
        (
            "glm-compact",
            "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>",
            "",
            OSLO,
        ),
        # Gemma: quoted keys, strings with ordinary quotation marks
        ("gemma", '<|tool_call>call:get_weather{<|"|>city<|"|>: "Oslo"}<tool_call|>', "", OSLO),
        ("gemma", "<|channel>thought\n<channel|>Hi<|channel>thought\n<channel|>", "Hi", []),
        # harmony: the recipient before the channel, no channel, several channels, a function without its namespace
        ("harmony", ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Oslo"}', "", OSLO),
        ("harmony", '<|channel|>analysis to=functions.get_weather<|message|>{"city": "Oslo"}<|call|>', "", OSLO),
        ("harmony", '<|channel|>commentary to=get_weather<|message|>{"city": "Oslo"}', "", OSLO),
        ("harmony", "<|message|>Hi", "Hi", []),
        ("harmony", "<|channel|>commentary<|channel|>final<|message|>Hi<|return|>", "Hi", []),
        # Granite 3 writes Granite 4's marker at times
        ("granite-list", '<tool_call>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]', "", OSLO),
    ],
)  # fmt: skip
def test_read_all_the_same(name: str, text: str, content: str, calls: Calls) -> None:
    found = message(BY_NAME[name], text)
    assert found.content == content
    assert [(call.name, json.loads(call.arguments)) for call in found.calls] == calls
    assert message(BY_NAME[name], *text) == found


def test_ids_that_the_model_gives() -> None:
    assert message(BY_NAME["kimi-k2"], BY_NAME["kimi-k2"].calls([("f", {})])).calls[0].id == "functions.f:0"
    assert message(BY_NAME["mistral-ids"], BY_NAME["mistral-ids"].calls([("f", {})])).calls[0].id == "abcdefgh0"
    assert message(BY_NAME["hermes"], BY_NAME["hermes"].calls([("f", {})])).calls[0].id is None


def test_new_ids() -> None:
    assert BY_NAME["kimi-k2"].format.call_id("f", 3) == "functions.f:3"
    assert BY_NAME["mistral"].format.call_id("f", 0).isalnum() and len(BY_NAME["mistral"].format.call_id("f", 0)) == 9
    assert BY_NAME["hermes"].format.call_id("f", 0) != BY_NAME["hermes"].format.call_id("f", 0)


class TestThinking:
    def test_the_prompt_opens_it(self) -> None:
        found = message(BY_NAME["hermes"], "So.\n</think>\n\nHi", prompt="<|im_start|>assistant\n<think>\n")
        assert (found.reasoning, found.content) == ("So.", "Hi")

    def test_the_prompt_opens_and_closes_it(self) -> None:
        prompt = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
        assert message(BY_NAME["hermes"], "Hi", prompt=prompt).content == "Hi"

    def test_never_closed(self) -> None:
        assert message(BY_NAME["hermes"], "<think>\nSo on and on").reasoning == "So on and on"

    def test_closed_without_being_opened(self) -> None:
        assert message(BY_NAME["glm"], "</think>\nHi").content == "Hi"

    def test_twice(self) -> None:
        found = message(BY_NAME["hermes"], "<think>a</think>\n<think>\nb</think>c")
        assert (found.reasoning, found.content) == ("a\nb", "c")

    def test_in_an_answer_it_is_text(self) -> None:
        text = "The tags <think> and </think> mark it.\n<think>"
        assert message(BY_NAME["hermes"], text).content == text

    def test_between_calls(self) -> None:
        call = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
        found = message(BY_NAME["hermes"], f"{call}<think>again</think>{call}")
        assert (found.reasoning, found.content, len(found.calls)) == ("again", "", 2)

    def test_a_call_ends_it_where_models_forget_to(self) -> None:
        call = BY_NAME["kimi-k2"].calls([("get_time", {})])
        found = message(BY_NAME["kimi-k2"], f"<think>I look{call}")
        assert (found.reasoning, found.content, len(found.calls)) == ("I look", "", 1)

    def test_thinking_about_calls(self) -> None:
        found = message(BY_NAME["qwen-xml"], "<think>I use <tool_call> or <function=x y></think>Hi")
        assert (found.reasoning, found.content) == ("I use <tool_call> or <function=x y>", "Hi")
        call = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
        assert message(BY_NAME["hermes"], f"<think>{call}</think>Hi").calls == []

    def test_a_template_that_shows_none(self) -> None:
        written = BY_NAME["hermes"]._replace(thinking=None)
        found = message(written, "<think>So</think>Hi")
        assert (found.reasoning, found.content) == ("So", "Hi")

    def test_control_tokens_count_anywhere(self) -> None:
        found = message(BY_NAME["gemma"], "Hi<|channel>thought\nwell<channel|> there")
        assert (found.reasoning, found.content) == ("well", "Hi there")

    def test_harmony_goes_on_from_the_prompt(self) -> None:
        prompt = "<|start|>assistant<|channel|>analysis<|message|>First"
        found = message(
            BY_NAME["harmony"], " second<|end|><|start|>assistant<|channel|>final<|message|>Hi", prompt=prompt
        )
        assert (found.reasoning, found.content) == ("second", "Hi")

    @pytest.mark.parametrize("thinking", [Thinking("<a>", "</a>"), Thinking("[THINK]", "[/THINK]")])
    def test_other_markers(self, thinking: Thinking) -> None:
        written = BY_NAME["mistral"]._replace(thinking=thinking)
        found = message(written, f"{thinking.open}So{thinking.close}Hi")
        assert (found.reasoning, found.content) == ("So", "Hi")


def test_arguments_typed_by_references() -> None:
    schema = {
        "type": "object",
        "properties": {
            "when": {"$ref": "#/$defs/Day"},
            "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "either": {"type": ["string", "number"]},
            "note": {"type": ["string", "null"]},
            "kind": {"enum": ["1", "2"]},
        },
        "additionalProperties": {"type": "string"},
        "$defs": {"Day": {"type": "object"}},
    }
    values = {"when": '{"d": 1}', "count": "null", "either": "2.5", "note": "null", "kind": "1", "more": "7"}
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    found = message(BY_NAME["qwen-xml"], f"<function=f>{parameters}</function>", tools=[Tool("f", schema)])
    assert json.loads(found.calls[0].arguments) == {
        "when": {"d": 1},
        "count": None,
        "either": 2.5,
        "note": None,
        "kind": "1",
        "more": "7",
    }
