"""Text without tool calls, and perhaps thinking before it: for prompts that no chat template made."""

from __future__ import annotations

from collections.abc import Sequence

from server.chat.formats.format import Reading
from server.chat.formats.grammar import Grammar
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tools import Tool


class Plain(TaggedFormat):
    name = "plain"
    openers = ("",)

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        yield from ()
        raise Malformed

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        raise NotImplementedError("the plain format has no tools")
