r"""GLM 4: an element per call, with a key and a value element for each argument.

    <tool_call>get_weather
    <arg_key>city</arg_key>
    <arg_value>Oslo</arg_value>
    </tool_call>

GLM 4.5 and 4.6, Ling 3, Laguna; GLM 4.7 and Spark 2.5 leave the newlines out. Strings are written as they are,
everything else as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats.elements import Elements, read_element, write_elements
from server.chat.formats.format import Reading
from server.chat.formats.grammar import SPACE, Grammar, quoted
from server.chat.formats.object_writer import ObjectWriter
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

_NAME = re.compile(r"[^<>\s]*")
_KEY = re.compile(r"[^<>]*")


class Glm(TaggedFormat):
    name = "glm"
    signs = (("<arg_key>", "<arg_value>"),)
    openers = ("<tool_call>",)
    leftovers = ("</tool_call>",)
    tokens = ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
    calls_end_thinking = True
    elements: ClassVar = Elements(
        "<arg_key>", "</arg_key>", "</arg_value>", after=("<arg_key>", "</tool_call>"), open_value="<arg_value>"
    )

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        reader, out, elements = reading.reader, reading.out, self.elements
        yield from reader.spaces()
        name = yield from reader.run(_NAME, 200)
        if not name or not (yield from reader.before(*elements.after)):
            raise Malformed
        reading.start_call(name)
        arguments = ObjectWriter(out.arguments)
        while (yield from reader.after_spaces("<arg_key>")):
            key = yield from reader.run(_KEY, 200)
            yield from reader.expect("</arg_key>")
            yield from reader.spaces()
            yield from reader.expect("<arg_value>")
            yield from read_element(reader, arguments, elements, reading.tools.get(name), key.strip())
        if (yield from reader.after_spaces("</tool_call>")) is None:
            raise Malformed
        arguments.close()
        out.end_call()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        bodies = (f"{quoted(tool.name)} {SPACE} {write_elements(grammar, tool, self.elements)}" for tool in tools)
        return f"{grammar.one_of('call', bodies)} {SPACE} {grammar.literal('</tool_call>')}"
