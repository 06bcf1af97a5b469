"""Formats that are JSON objects between markers: what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats import call_object
from server.chat.formats.format import Reading
from server.chat.formats.grammar import Grammar
from server.chat.formats.reader import Steps
from server.chat.formats.tagged import TaggedFormat
from server.chat.formats.tagged_grammar import BareCalls
from server.chat.formats.tools import Tool


class WrappedJson(TaggedFormat):
    """Reading takes an object, several, or a list of them; writing keeps to what is said here."""

    verbatim = True

    before: ClassVar[str] = ""
    """Between the opener and the first object."""
    between: ClassVar[str] = ", "
    """Between objects, where one opener holds them all."""
    after: ClassVar[str] = ""
    """Behind the last object, the closing marker included."""
    arguments_key: ClassVar[str] = "arguments"

    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        return call_object.read_calls(reading)

    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        call = self.write_object(grammar, tools)
        more = f"({grammar.literal(self.between)} {call})*" if many else ""
        return f"{grammar.literal(self.before)} {call} {more} {grammar.literal(self.after)}"

    def read_bare_calls(self, reading: Reading) -> Steps[None]:
        return call_object.read_bare_call(reading)

    def write_bare_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> BareCalls:
        return BareCalls(
            call_object.BARE_HEAD, call_object.write_bare_call(grammar, tools, arguments=self.arguments_key)
        )

    def write_object(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        """A rule for one object."""
        return call_object.write_call(grammar, tools, arguments=self.arguments_key)
