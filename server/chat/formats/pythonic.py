r"""Calls as Python writes them, in a list.

    [get_weather(city="Oslo", days=2), get_time()]

Llama 3.2 and 4, with templates that ask for it; LFM2 between `<|tool_call_start|>` and `<|tool_call_end|>`. Where there
is no marker, only a list at the start of a line whose first call is of one of the request's tools counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any, ClassVar

from server.chat.formats import schema
from server.chat.formats.format import Reading, Signs, Texts
from server.chat.formats.grammar import Grammar, quoted, regex
from server.chat.formats.object_writer import ObjectWriter
from server.chat.formats.python_literal import read_value
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tagged_grammar import BareCalls
from server.chat.formats.tools import Tool

_NAME = re.compile(r"[\w.\-]*")
_WORD = re.compile(r"\w*")
_STRING_KEYWORDS = {"enum", "const", "pattern", "format", "minLength", "maxLength"}
_CONSTANTS = {"boolean": '"True" | "False"', "null": '"None"'}


class Pythonic(TaggedFormat):
    name = "pythonic"
    signs: ClassVar[Signs] = (("[func_name1(",), ("func_name1(params_name1",))
    openers: ClassVar[Texts] = ("", "<|python_start|>")
    leftovers: ClassVar[Texts] = ("<|python_end|>",)
    tokens: ClassVar[Texts] = ("<|python_start|>", "<|python_end|>")
    bare = "["
    repeats = False
    end: ClassVar[str] = ""

    def printed(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
        return f"{self.openers[0]}[{', '.join(starmap(_printed, calls))}]{self.end}"

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        reader = reading.reader
        yield from reader.spaces()
        yield from reader.expect("[")
        while True:
            yield from reader.spaces()
            yield from self._read_call(reading)
            comma = yield from reader.after_spaces(",")
            reader.commit()
            if (yield from reader.after_spaces("]")):
                reader.commit()
                return
            if comma is None:
                raise Malformed

    def _read_call(self, reading: Reading) -> Steps[None]:
        reader, out = reading.reader, reading.out
        name = yield from reader.run(_NAME, 200)
        yield from reader.expect("(")
        reading.start_call(name)
        tool = reading.tools.get(name)
        positions = schema.names(tool.parameters) if tool is not None else []
        arguments = ObjectWriter(out.arguments)
        while True:
            yield from reader.spaces()
            if (yield from reader.literal(")")):
                break
            if (yield from reader.peek()) in tuple("\"'[{(-0123456789"):
                if not positions:
                    raise Malformed
                arguments.key(positions.pop(0))
            else:
                arguments.key((yield from self._read_keyword(reading, positions)))
            yield from read_value(reader, arguments.write)
            yield from reader.comma(")")
        arguments.close()
        out.end_call()

    def _read_keyword(self, reading: Reading, positions: list[str]) -> Steps[str]:
        reader = reading.reader
        key = yield from reader.run(_WORD, 200)
        yield from reader.spaces()
        yield from reader.expect("=")
        yield from reader.spaces()
        if not key or not (yield from reader.peek()):
            raise Malformed
        if key in positions:
            positions.remove(key)
        return key

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        call = self._write_call(grammar, tools)
        return f'"[" {call} {self._write_more(grammar, call, many=many)}'

    def write_bare_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> BareCalls:
        first = grammar.one_of("call", (self._write_bare_call(grammar, tool) for tool in tools))
        more = self._write_more(grammar, self._write_call(grammar, tools), many=many)
        return BareCalls(r"\[", f"{first} {more}")

    def _write_more(self, grammar: Grammar, call: str, *, many: bool) -> str:
        more = f'(", " {call})*' if many else ""
        return f"{more} {grammar.literal(']' + self.end)}"

    def _write_call(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        bodies = (f"{quoted(tool.name + '(')} {self._write_arguments(grammar, tool)}" for tool in tools)
        return grammar.one_of("call", bodies)

    def _write_bare_call(self, grammar: Grammar, tool: Tool) -> str:
        name = grammar.rule("name", rf"/[ \t\r\n]*{regex(tool.name)}\(/", "[lazy]")
        return f"{name} {self._write_arguments(grammar, tool)}"

    def _write_arguments(self, grammar: Grammar, tool: Tool) -> str:
        needed = schema.required(tool.parameters)
        arguments = [
            (f"{quoted(name + '=')} {_write_value(grammar, tool, name)}", name in needed)
            for name in schema.names(tool.parameters)
        ]
        return f'{grammar.listed(arguments, ", ") if arguments else ""} ")"'


class Lfm2(Pythonic):
    name = "lfm2"
    signs = (("<|tool_call_start|>",), ("<|tool_list_start|>",), ("List of tools: [", "<|im_start|>"))
    openers = ("<|tool_call_start|>",)
    leftovers = ("<|tool_call_end|>",)
    tokens = ("<|tool_call_start|>", "<|tool_call_end|>")
    bare = ""
    end = "<|tool_call_end|>"


def _printed(name: str, arguments: Mapping[str, Any]) -> str:
    values = {key: json.dumps(value, ensure_ascii=False) for key, value in arguments.items()}
    values |= {key: str(value) for key, value in arguments.items() if value is None or isinstance(value, bool)}
    return f"{name}({', '.join(map('='.join, values.items()))})"


def _write_value(grammar: Grammar, tool: Tool, name: str) -> str:
    """Python's constants; everything else as JSON, which reads the same; plain strings in either quotation marks."""
    root = tool.schema
    argument = schema.argument(root, name)
    allowed = tool.types(name)
    ways = [body for kind, body in _CONSTANTS.items() if kind in allowed]
    if not allowed or not allowed <= set(_CONSTANTS):
        ways.append(grammar.json(schema.standalone(argument, root), strict=tool.strict))
    if "string" in allowed and not _STRING_KEYWORDS & set(schema.resolved(argument, root)):
        ways.append(r"/'([^'\\\n]|\\.)*'/")
    return grammar.rule("value", " | ".join(ways))
