r"""Gemma's calls: an object whose keys are bare and whose strings stand between tokens, with nothing escaped.

    <|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:2}<tool_call|>

Gemma 4. FunctionGemma writes `<start_function_call>call:get_weather{city:<escape>Oslo<escape>}<end_function_call>`.
Templates sort the arguments by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats import json_text
from server.chat.formats.format import Reading, Signs, Texts
from server.chat.formats.gemma_grammar import write_object
from server.chat.formats.grammar import Grammar
from server.chat.formats.json_string import escaped, quoted
from server.chat.formats.markers import markers
from server.chat.formats.reader import Malformed, Reader, Steps, Write
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

_NAME = re.compile(r"[\w.\-]*")
_KEY = re.compile(r'[^:{}\[\],<>"]*')


class Gemma(TaggedFormat):
    name = "gemma"
    signs: ClassVar[Signs] = (("<|tool_call>", '<|"|>'),)
    openers: ClassVar[Texts] = ("<|tool_call>",)
    leftovers: ClassVar[Texts] = ("<tool_call|>", "<|tool_response>")
    tokens: ClassVar[Texts] = ("<|tool_call>", "<tool_call|>", '<|"|>')
    calls_end_thinking = True
    quote: ClassVar[str] = '<|"|>'

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        reader, out = reading.reader, reading.out
        yield from reader.spaces()
        yield from reader.literal("call:")
        name = yield from reader.run(_NAME, 200)
        if not name or not (yield from reader.before("{")):
            raise Malformed
        reading.start_call(name)
        yield from reader.spaces()
        yield from self._read_object(reader, out.arguments, 0)
        out.end_call()

    def _read_value(self, reader: Reader, write: Write, depth: int) -> Steps[None]:
        if depth > json_text.DEEPEST:
            raise Malformed
        start = yield from reader.peek()
        if (yield from reader.literal(self.quote)):
            write('"')
            if (yield from reader.until(markers(self.quote), lambda text: write(escaped(text)))) is None:
                raise Malformed
            write('"')
        elif start == "{":
            yield from self._read_object(reader, write, depth)
        elif start == "[":
            yield from self._read_list(reader, write, depth)
        else:
            yield from json_text.read_value(reader, write, depth)

    def _read_object(self, reader: Reader, write: Write, depth: int) -> Steps[None]:
        write((yield from reader.expect("{")))
        comma = ""
        while True:
            yield from reader.spaces()
            if (yield from reader.literal("}")):
                write("}")
                return
            key = yield from self._read_key(reader)
            yield from reader.expect(":")
            yield from reader.spaces()
            write(f"{comma}{quoted(key)}: ")
            yield from self._read_value(reader, write, depth + 1)
            yield from reader.comma("}")
            comma = ", "

    def _read_list(self, reader: Reader, write: Write, depth: int) -> Steps[None]:
        write((yield from reader.expect("[")))
        comma = ""
        while True:
            yield from reader.spaces()
            if (yield from reader.literal("]")):
                write("]")
                return
            write(comma)
            yield from self._read_value(reader, write, depth + 1)
            yield from reader.comma("]")
            comma = ", "

    def _read_key(self, reader: Reader) -> Steps[str]:
        mark = yield from reader.literal(self.quote, '"')
        key = yield from reader.run(_KEY, 200)
        if mark is not None:
            yield from reader.expect(mark)
        if not key.strip():
            raise Malformed
        return key.strip()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        call = grammar.one_of("call", (self._write_call(grammar, tool) for tool in tools))
        return f"{call} {grammar.literal(self.leftovers[0])}"

    def _write_call(self, grammar: Grammar, tool: Tool) -> str:
        arguments = write_object(grammar, tool.schema, self.quote, strict=tool.strict)
        return f"{grammar.literal('call:' + tool.name)} {arguments}"


class FunctionGemma(Gemma):
    name = "function-gemma"
    signs = (("<start_function_call>",), ("<start_function_declaration>",))
    openers = ("<start_function_call>",)
    leftovers = ("<end_function_call>",)
    tokens = ("<start_function_call>", "<end_function_call>", "<escape>")
    quote = "<escape>"
