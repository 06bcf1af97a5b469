r"""Mistral's calls, in three generations.

    [TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "a1b2c3d4e"}]
    [TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]{"city": "Oslo"}
    [TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}

Mistral 7B v0.3, Mixtral, Nemo, Small 2409 to 2501; Small 3.2; Devstral, Magistral, Ministral 3, Small 4. The markers
are control tokens. All three are read wherever one is expected. Ids are nine letters and digits: templates refuse
others.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats import call_object
from server.chat.formats.format import Reading, Signs, Texts
from server.chat.formats.grammar import SPACE, Grammar, quoted
from server.chat.formats.json_text import read_object
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool

_WORD = re.compile(r"[^\s\[\]{}]*")
_ID = "/[a-zA-Z0-9]{9}/"


class Mistral(TaggedFormat):
    """The newest generation."""

    name = "mistral"
    signs: ClassVar[Signs] = (("[TOOL_CALLS]", "[ARGS]"),)
    openers: ClassVar[Texts] = ("[TOOL_CALLS]",)
    leftovers: ClassVar[Texts] = ("[ARGS]", "[CALL_ID]")
    tokens: ClassVar[Texts] = ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]")

    verbatim = True

    def call_id(self, name: str, index: int) -> str:
        return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        reader, out = reading.reader, reading.out
        if (yield from reader.before("[{", "[ ", "[\n", "{")):
            yield from call_object.read_calls(reading, ids=True)
            return
        yield from reader.spaces()
        name = yield from reader.run(_WORD, 200)
        if not name:
            raise Malformed
        given = None
        if (yield from reader.after_spaces("[CALL_ID]")):
            given = yield from reader.run(_WORD, 200)
        yield from reader.after_spaces("[ARGS]")
        if not (yield from reader.before("{")):
            raise Malformed
        reading.start_call(name, given or None)
        yield from reader.spaces()
        yield from read_object(reader, out.arguments)
        out.end_call()

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        return " | ".join(
            f"{quoted(tool.name)} {self._write_id(grammar)} {grammar.literal('[ARGS]')} " + grammar.arguments(tool)
            for tool in tools
        )

    def _write_id(self, grammar: Grammar) -> str:
        return ""


class MistralWithIds(Mistral):
    """The second generation."""

    name = "mistral-ids"
    signs = (("[TOOL_CALLS]", "[CALL_ID]"),)

    def _write_id(self, grammar: Grammar) -> str:
        return f"{grammar.literal('[CALL_ID]')} {_ID}"


class MistralList(Mistral):
    """The first."""

    name = "mistral-list"
    signs = (("[TOOL_CALLS]",),)
    repeats = False

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        end = f'("}}" | ", \\"id\\": \\"" {_ID} "\\"}}")'
        call = call_object.write_call(grammar, tools, end=end)
        more = f'(", " {call})*' if many else ""
        return f'{SPACE} "[" {call} {more} "]"'
