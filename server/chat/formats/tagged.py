"""Formats whose calls stand between markers, in text that is otherwise free.

That is nearly all of them: thinking, then content, calls, content … in any order, each possibly missing. What is read
as a call here is just what `tagged_grammar.py` lets be written as one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from server.chat.formats.format import Format, Reading, Texts, Writing
from server.chat.formats.grammar import Grammar
from server.chat.formats.markers import markers
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tagged_grammar import BareCalls, TaggedGrammar
from server.chat.formats.tools import Tool


class TaggedFormat(Format):
    openers: ClassVar[Texts]
    """Markers that begin calls, the usual one first. The first may be empty where calls have no marker."""
    leftovers: ClassVar[Texts] = ()
    """Markers that may stand behind calls, and mean nothing."""
    wrappers: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of markers around the answer itself."""
    bare: ClassVar[str] = ""
    """Calls may also begin without a marker, with this character at the start of a line."""
    calls_end_thinking: ClassVar[bool] = False
    """Its models are known to call from inside thinking that they never close."""
    parallel: ClassVar[bool] = True
    """Whether a message can have several calls."""
    repeats: ClassVar[bool] = True
    """Whether each call has an opener of its own, rather than all of them one together."""

    @abstractmethod
    def read_calls(self, reading: Reading, opener: str) -> Steps[None]:
        """Read calls, behind the opener, which has been read. Malformed where it is no call."""

    @abstractmethod
    def write_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str:
        """The body of a rule for what follows an opener. `many`: several calls, where one opener holds them all."""

    def write_calls_after(self, opener: str, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> str | None:
        """The same for one of the other openers; None: just the same."""
        return None

    def read_bare_calls(self, reading: Reading) -> Steps[None]:
        """Read calls that begin with the character `bare`, which has not been read."""
        return self.read_calls(reading, "")

    def write_bare_calls(self, grammar: Grammar, tools: Sequence[Tool], *, many: bool) -> BareCalls:
        """The same for grammars. Formats that have a `bare` character define it."""
        raise NotImplementedError("this format has no calls without an opener")

    def read_message(self, reading: Reading) -> Steps[None]:
        reader, out, thinking = reading.reader, reading.out, reading.thinking
        first, later = self._stops(reading)
        stops = markers(*later)
        if thinking.opened_by(reading.prompt):
            yield from self._read_thinking(reading)
        while True:
            marker = None
            if out.fresh:
                out.content((yield from reader.spaces()))
                marker = yield from reader.literal(*first)
            if marker is None and not later:
                out.settle()
            marker = marker or (yield from reader.until(stops, out.content))
            if marker is None:
                return
            if marker == thinking.open:
                yield from self._read_thinking(reading)
            elif marker == thinking.close:
                out.block()
            elif marker == self.bare or marker in self.openers:
                yield from self._attempt(reading, marker)
            elif marker in first or (yield from reader.before(*filter(None, self.openers), end=True)):
                reader.commit()
            else:
                out.content(reader.shown(marker))

    def _stops(self, reading: Reading) -> tuple[Texts, Texts]:
        """The markers that matter before content, and those that do in it."""
        thinking = (reading.thinking.open, reading.thinking.close)
        openings, closings = zip(*self.wrappers, strict=True) if self.wrappers else ((), ())
        calls = (*self.openers, self.bare) if reading.tools else ()
        if reading.settles:
            usual = (self.openers[0] or self.bare,) if reading.tools else ()
            return (*thinking, *openings, *filter(None, usual)), closings
        anywhere = thinking if reading.thinking.anywhere else ()
        return (*thinking, *openings), (*closings, *anywhere, *filter(None, calls))

    def _read_thinking(self, reading: Reading) -> Steps[None]:
        """Read to the end of the block, which has been opened."""
        reader, out = reading.reader, reading.out
        calls = self.calls_end_thinking and reading.tools and not reading.limited
        stops = markers(reading.thinking.close, *(filter(None, self.openers) if calls else ()))
        out.reasoning("")
        while True:
            marker = yield from reader.until(stops, out.reasoning)
            if marker is None:
                return
            if marker == reading.thinking.close:
                out.block()
                return
            if (yield from self._attempt(reading, marker)):
                return

    def _attempt(self, reading: Reading, opener: str) -> Steps[bool]:
        """Whether there were calls. Else the opener is text, and what it seemed to open is still to be read."""
        reader, out = reading.reader, reading.out
        reader.commit_before(opener)
        before, thinking = out.calls, out.thinking
        try:
            if opener != self.bare:
                yield from self.read_calls(reading, opener)
            elif out.at_line_start:
                reader.rewind()
                yield from self.read_bare_calls(reading)
        except Malformed:
            reading.mend(before, verbatim=self.verbatim)
        if out.calls == before:
            reader.rewind()
            yield from reader.literal(opener)
            (out.reasoning if thinking else out.content)(reader.shown(opener))
            return False
        reader.starved = False
        while (yield from reader.after_spaces(*self.leftovers)):
            reader.commit()
        if reader.starved:
            reader.rest()  # what may be the start of one
            reader.commit()
        return True

    def write_message(self, grammar: Grammar, writing: Writing) -> str:
        return TaggedGrammar(self, grammar, writing).message()
