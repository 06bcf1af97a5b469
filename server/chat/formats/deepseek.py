r"""DeepSeek's calls, with or without a code fence.

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather
    ```json
    {"city": "Oslo"}
    ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

    <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo"}
    <｜tool▁call▁end｜><｜tool▁calls▁end｜>

The first: V3 and R1 with its distillations. The second, on one line: V3.1. Both are read in either. R1 is known to
spell the marker of the whole section in other ways, and to leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats.format import Reading, Signs, Texts
from server.chat.formats.grammar import SPACE, Grammar
from server.chat.formats.json_text import read_object
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

SECTION, SECTION_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"

_NAME = re.compile(r"[^\s<`{]*")


class DeepSeek(TaggedFormat):
    """V3.1."""

    name = "deepseek"
    signs: ClassVar[Signs] = ((SEPARATOR,),)
    openers: ClassVar[Texts] = (
        SECTION,
        CALL,
        "<｜tool_calls_begin｜>",
        "<｜tool calls begin｜>",
        r"<｜tool\_calls\_begin｜>",
        "<｜tool▁calls｜>",
    )
    leftovers: ClassVar[Texts] = (SEPARATOR, CALL_END, SECTION_END)
    tokens: ClassVar[Texts] = (SECTION, SECTION_END, CALL, SEPARATOR, CALL_END)
    calls_end_thinking = True
    repeats = False
    verbatim = True

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
        name = yield from reader.run(_NAME, 200)
        yield from reader.expect(SEPARATOR)
        if not (yield from reader.before("{")):
            yield from reader.spaces()
            name = yield from reader.run(_NAME, 200)  # what came first was the call's type
            yield from reader.after_spaces("```json", "```")
        if not (yield from reader.before("{")):
            raise Malformed
        reading.start_call(name)
        yield from reader.spaces()
        yield from read_object(reader, out.arguments)
        out.end_call()
        if (yield from reader.after_spaces("```")):
            reader.commit()
        if (yield from reader.after_spaces(CALL_END)):
            reader.commit()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        return f"{grammar.literal(CALL)} {self._write_first(grammar, tools, many=many)} {grammar.literal(SECTION_END)}"

    def write_calls_after(self, opener: str, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str | None:
        if opener != CALL:
            return None
        return f"{self._write_first(grammar, tools, many=many)} ({grammar.literal(SECTION_END)})?"

    def _write_first(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        """Calls, behind the marker of the first."""
        call = grammar.one_of("call", (self._write_call(grammar, tool) for tool in tools))
        return f"{call} ({SPACE} {grammar.literal(CALL)} {call})*" if many else call

    def _write_call(self, grammar: Grammar, tool: Tool) -> str:
        arguments = grammar.arguments(tool)
        return f"{grammar.literal(tool.name + SEPARATOR)} {arguments} {grammar.literal(CALL_END)}"


class DeepSeekFenced(DeepSeek):
    """V3 and R1."""

    name = "deepseek-fenced"
    signs = ((SEPARATOR, "```json"),)
    leftovers = (*DeepSeek.leftovers, "```")

    def _write_call(self, grammar: Grammar, tool: Tool) -> str:
        opening = grammar.literal(f"function{SEPARATOR}{tool.name}\n```json\n")
        arguments = grammar.arguments(tool)
        return f"{opening} {arguments} {grammar.literal(chr(10) + '```' + CALL_END)}"
