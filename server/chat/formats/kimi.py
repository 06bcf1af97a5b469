r"""Kimi K2: a section of calls, each under the id that its model gives it.

    <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo"}
    <|tool_call_end|><|tool_calls_section_end|>

(on one line). The markers are control tokens. The id holds the name and counts the conversation's calls; its templates
print it back, so it is worth keeping.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.chat.formats.format import Reading
from server.chat.formats.grammar import Grammar
from server.chat.formats.json_text import read_object
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

SECTION, SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, ARGUMENTS, CALL_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"

_ID = re.compile(r"[^\s<{]*")
_NAME = re.compile(r"(?:functions\.)?(.+?)(?::[0-9]+)?")


class Kimi(TaggedFormat):
    name = "kimi-k2"
    signs = ((CALL, ARGUMENTS),)
    openers = (SECTION, CALL)
    leftovers = (ARGUMENTS, CALL_END, SECTION_END)
    tokens = (SECTION, SECTION_END, CALL, ARGUMENTS, CALL_END)
    calls_end_thinking = True
    repeats = False
    verbatim = True

    def call_id(self, name: str, index: int) -> str:
        return f"functions.{name}:{index}"

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        if opener != CALL:
            yield from reading.reader.spaces()
            yield from reading.reader.expect(CALL)
        while True:
            yield from self._read_call(reading)
            if (yield from reading.reader.after_spaces(CALL)) is None:
                return

    def _read_call(self, reading: Reading) -> Steps[None]:
        reader, out = reading.reader, reading.out
        yield from reader.spaces()
        given = yield from reader.run(_ID, 200)
        name = _NAME.fullmatch(given)
        if name is None or (yield from reader.after_spaces(ARGUMENTS)) is None:
            raise Malformed
        if not (yield from reader.before("{")):
            raise Malformed
        reading.start_call(name[1], given)
        yield from reader.spaces()
        yield from read_object(reader, out.arguments)
        out.end_call()
        if (yield from reader.after_spaces(CALL_END)):
            reader.commit()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        return f"{grammar.literal(CALL)} {self._write_first(grammar, tools, many=many)} {grammar.literal(SECTION_END)}"

    def write_calls_after(self, opener: str, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        return f"{self._write_first(grammar, tools, many=many)} ({grammar.literal(SECTION_END)})?"

    def _write_first(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        """Calls, behind the marker of the first."""
        call = grammar.one_of("call", (self._write_call(grammar, tool) for tool in tools))
        return f"{call} ({grammar.literal(CALL)} {call})*" if many else call

    def _write_call(self, grammar: Grammar, tool: Tool) -> str:
        opening = f"{grammar.literal(f'functions.{tool.name}:')} /[0-9]{{1,4}}/ {grammar.literal(ARGUMENTS)}"
        arguments = grammar.arguments(tool)
        return f"{opening} {arguments} {grammar.literal(CALL_END)}"
