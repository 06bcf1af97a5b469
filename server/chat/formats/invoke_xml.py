"""Formats with an `invoke` element per call and a `parameter` element per argument: what they share.

<minimax:tool_call>
<invoke name="get_weather">
<parameter name="city">Oslo</parameter>
</invoke>
</minimax:tool_call>
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats.elements import Elements, read_element, write_elements
from server.chat.formats.format import Reading
from server.chat.formats.grammar import SPACE, Grammar
from server.chat.formats.object_writer import ObjectWriter
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

_NAME = re.compile(r'[^"<>]*')


class InvokeXml(TaggedFormat):
    repeats = False
    prefix: ClassVar[str] = ""
    """What the names of elements begin with."""
    says_strings: ClassVar[bool] = False
    """Parameters say by an attribute whether they are strings."""

    @property
    def _parameter(self) -> str:
        return f'<{self.prefix}parameter name="'

    @property
    def _invoke(self) -> str:
        return f'<{self.prefix}invoke name="'

    @property
    def _invoke_end(self) -> str:
        return f"</{self.prefix}invoke>"

    @property
    def _elements(self) -> Elements:
        return Elements(
            self._parameter,
            '" string="false">' if self.says_strings else '">',
            f"</{self.prefix}parameter>",
            after=(self._parameter, self._invoke_end),
            space="\n",
            after_string_name='" string="true">' if self.says_strings else "",
        )

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        reader = reading.reader
        if (yield from reader.after_spaces(self._invoke)) is None:
            raise Malformed
        while True:
            yield from self._read_call(reading)
            if (yield from reader.after_spaces(self._invoke)) is None:
                return

    def _read_call(self, reading: Reading) -> Steps[None]:
        reader, out = reading.reader, reading.out
        name = yield from reader.run(_NAME, 200)
        if not name:
            raise Malformed
        yield from reader.expect('">')
        reading.start_call(name)
        arguments = ObjectWriter(out.arguments)
        while (yield from reader.after_spaces(self._parameter)):
            key = yield from reader.run(_NAME, 200)
            yield from reader.expect('"')
            said = yield from reader.after_spaces('string="true"', 'string="false"')
            yield from reader.spaces()
            yield from reader.expect(">")
            string = said == 'string="true"' if said is not None else None
            yield from read_element(reader, arguments, self._elements, reading.tools.get(name), key, string=string)
        if (yield from reader.after_spaces(self._invoke_end)) is None:
            raise Malformed
        arguments.close()
        out.end_call()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        call = grammar.one_of("call", (self._write_call(grammar, tool) for tool in tools))
        return f'"\\n" {call} {f"{call}*" if many else ""} {grammar.literal(self.leftovers[0])}'

    def _write_call(self, grammar: Grammar, tool: Tool) -> str:
        opening = grammar.literal(f'{self._invoke}{tool.name}">\n')
        end = grammar.literal(self._invoke_end + "\n")
        return f"{opening} {write_elements(grammar, tool, self._elements)} {SPACE} {end}"
