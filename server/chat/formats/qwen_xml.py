r"""Qwen3-Coder's elements, one per argument.

    <tool_call>
    <function=get_weather>
    <parameter=city>
    Oslo
    </parameter>
    </function>
    </tool_call>

Qwen3-Coder, Qwen 3.5, Nemotron 3, Step 3.5; Seed-OSS with `<seed:tool_call>`. The models leave out `<tool_call>` at
times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats.elements import Elements, read_element, write_elements
from server.chat.formats.format import Reading, Signs, Texts
from server.chat.formats.grammar import Grammar, quoted
from server.chat.formats.object_writer import ObjectWriter
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

_NAME = re.compile(r"[^<>\s]*")


class QwenXml(TaggedFormat):
    name = "qwen-xml"
    signs: ClassVar[Signs] = (("<tool_call>", "<function=", "<parameter="),)
    openers: ClassVar[Texts] = ("<tool_call>", "<function=")
    leftovers: ClassVar[Texts] = ("</tool_call>", "</function>")
    tokens: ClassVar[Texts] = ("<tool_call>", "</tool_call>")
    calls_end_thinking = True
    elements: ClassVar = Elements(
        "<parameter=",
        ">\n",
        "</parameter>",
        after=("<parameter=", "</function>", "</tool_call>"),
        space="\n",
        lines=True,
    )

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        if opener != "<function=":
            yield from reading.reader.spaces()
            yield from reading.reader.expect("<function=")
        yield from self._read_call(reading)

    def _read_call(self, reading: Reading) -> Steps[None]:
        reader, out = reading.reader, reading.out
        name = yield from reader.run(_NAME, 200)
        yield from reader.expect(">")
        reading.start_call(name)
        arguments = ObjectWriter(out.arguments)
        while (yield from reader.after_spaces("<parameter=")):
            key = yield from reader.run(_NAME, 200)
            yield from reader.expect(">")
            yield from read_element(reader, arguments, self.elements, reading.tools.get(name), key)
        end = yield from reader.after_spaces("</function>")
        if end is None and not (yield from reader.before(self.leftovers[0])):
            raise Malformed
        arguments.close()
        out.end_call()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        end = grammar.literal("\n" + self.leftovers[0])
        return f"{grammar.literal(chr(10) + '<function=')} {self._write_call(grammar, tools)} {end}"

    def write_calls_after(self, opener: str, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        end = grammar.literal("\n" + self.leftovers[0])
        return f"{self._write_call(grammar, tools)} ({end})?"

    def _write_call(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        bodies = (
            f"{quoted(f'{tool.name}>' + chr(10))} {write_elements(grammar, tool, self.elements)}" for tool in tools
        )
        return f"{grammar.one_of('call', bodies)} {grammar.literal('</function>')}"


class SeedXml(QwenXml):
    name = "seed-xml"
    signs = (("<seed:tool_call>", "<function=", "<parameter="),)
    openers = ("<seed:tool_call>", "<function=")
    leftovers = ("</seed:tool_call>", "</function>")
    tokens = ("<seed:tool_call>", "</seed:tool_call>")
    elements = Elements(
        "<parameter=", ">", "</parameter>", after=("<parameter=", "</function>", "</seed:tool_call>"), space="\n"
    )
