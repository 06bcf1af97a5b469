r"""A list of JSON objects between two markers.

    <tool_calls>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]</tool_calls>

Apriel. With other markers: Nemotron Nano 2 (`<TOOLCALL>`), Granite 3 (`<|tool_call|>`, nothing behind), Phi-4 mini
(`<|tool_call|>` and `<|/tool_call|>`), Command R7B and Command A (`<|START_ACTION|>`, `tool_name` and `parameters`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from server.chat.formats.call_object import write_call
from server.chat.formats.format import Signs, Texts
from server.chat.formats.grammar import Grammar
from server.chat.formats.tools import Tool
from server.chat.formats.wrapped_json import WrappedJson


class JsonList(WrappedJson):
    name = "json-list"
    signs: ClassVar[Signs] = (("<tool_calls>[", "</tool_calls>"),)
    openers: ClassVar[Texts] = ("<tool_calls>",)
    leftovers: ClassVar[Texts] = ("</tool_calls>",)
    tokens: ClassVar[Texts] = ("<tool_calls>", "</tool_calls>")
    repeats = False
    before = "["
    after = "]</tool_calls>"


class NemotronList(JsonList):
    name = "nemotron-list"
    signs = (("<TOOLCALL>",),)
    openers = ("<TOOLCALL>",)
    leftovers = ("</TOOLCALL>",)
    tokens = ("<TOOLCALL>", "</TOOLCALL>")
    after = "]</TOOLCALL>"


class GraniteList(JsonList):
    """Granite 3, which also writes `<tool_call>`, and puts an answer that it has thought about into `<response>`."""

    name = "granite-list"
    signs: ClassVar[Signs] = (("<|tool_call|>",),)
    openers: ClassVar[Texts] = ("<|tool_call|>", "<tool_call>")
    leftovers: ClassVar[Texts] = ("</tool_call>", "<|/tool_call|>")
    wrappers: ClassVar[tuple[tuple[str, str], ...]] = (("<response>", "</response>"),)
    tokens: ClassVar[Texts] = ("<|tool_call|>",)
    after = "]"

    def printed(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
        objects = [{"name": name, "arguments": arguments} for name, arguments in calls]
        return f"{self.openers[0]}{json.dumps(objects, ensure_ascii=False)}{self.after.removeprefix(']')}"


class PhiList(GraniteList):
    name = "phi-list"
    signs = (("<|tool|>", "<|/tool|>"),)
    tokens = ("<|tool_call|>", "<|/tool_call|>")
    wrappers = ()
    after = "]<|/tool_call|>"


class CohereList(JsonList):
    name = "cohere-list"
    signs = (("<|START_ACTION|>",),)
    openers = ("<|START_ACTION|>",)
    leftovers = ("<|END_ACTION|>",)
    wrappers = (("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|START_TEXT|>", "<|END_TEXT|>"))
    tokens_without_tools = ("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>")
    tokens = ("<|START_ACTION|>", "<|END_ACTION|>", *tokens_without_tools)
    before = "[\n    "
    between = ",\n    "
    after = "\n]<|END_ACTION|>"

    def write_object(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        start = r'"{\"tool_call_id\": \"" /[0-9]{1,3}/ "\", "'
        return write_call(grammar, tools, name="tool_name", arguments="parameters", start=start)
