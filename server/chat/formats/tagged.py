"""Formats whose calls stand between markers, in text that is otherwise free.

That is nearly all of them: thinking, then content, calls, content … in any order, each possibly missing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

from server.chat.formats.format import Format, Plan, Reading, Texts
from server.chat.formats.grammar import FREE, SPACE, Grammar, regex
from server.chat.formats.markers import markers
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tools import Tool


class TaggedFormat(Format):
    openers: ClassVar[Texts]
    """Markers that begin calls, the usual one first. The first may be empty where calls have no marker."""
    leftovers: ClassVar[Texts] = ()
    """Markers that are read with a call, and dropped where they stand alone."""
    wrappers: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of markers around the answer itself, dropped always."""
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

    def read_message(self, reading: Reading) -> Steps[None]:
        reader, out, thinking = reading.reader, reading.out, reading.thinking
        texts = self._stops(reading)
        stops = markers(*texts)
        if thinking.opened_by(reading.prompt):
            yield from self._read_thinking(reading)
        while True:
            if out.fresh:
                out.content((yield from reader.spaces()))
                marker = yield from reader.literal(thinking.open, thinking.close)
            else:
                marker = None
            if marker is None and not texts:
                out.settle()
            marker = marker or (yield from reader.until(stops, out.content))
            if marker is None:
                return
            if marker == thinking.open:
                yield from self._read_thinking(reading)
            elif marker == thinking.close:
                out.block()
            elif marker == self.bare:
                reader.rewind()
                if not (out.at_line_start and (yield from self._attempt(reading, ""))):
                    out.content((yield from reader.take()))
            else:
                reader.commit()
                if marker in self.openers:
                    yield from self._attempt(reading, marker)

    def _stops(self, reading: Reading) -> Texts:
        """The markers that matter in content."""
        thinking = (reading.thinking.open, reading.thinking.close) if reading.thinking.anywhere else ()
        calls = (*self.openers, *self.leftovers, self.bare) if reading.tools else ()
        return tuple(filter(None, (*chain.from_iterable(self.wrappers), *thinking, *calls)))

    def _read_thinking(self, reading: Reading) -> Steps[None]:
        """Read to the end of the block, which has been opened."""
        reader, out = reading.reader, reading.out
        openers = self.openers if self.calls_end_thinking and reading.tools else ()
        stops = markers(reading.thinking.close, *openers)
        out.reasoning("")
        while True:
            marker = yield from reader.until(stops, out.reasoning)
            if marker is None:
                return
            reader.commit()
            if marker == reading.thinking.close:
                out.block()
                return
            before = out.calls
            yield from self._attempt(reading, marker)
            if out.calls > before:
                return
            out.reasoning(marker)

    def _attempt(self, reading: Reading, opener: str) -> Steps[bool]:
        """Whether there were calls. Where they break off, what was not yet told is still to be read."""
        before = reading.out.calls
        try:
            yield from self.read_calls(reading, opener)
        except Malformed:
            reading.reader.rewind()
        return reading.out.calls > before

    def write_message(self, grammar: Grammar, plan: Plan) -> str:
        if plan.tools:
            body = self._write_body(grammar, plan, many=plan.many and self.parallel)
        else:
            body = f"{SPACE} ({self._write_answer(grammar, plan.content or FREE)})"
        body = grammar.rule("message", body)
        thinking = plan.thinking
        if thinking is None:
            return body
        if thinking.opened_by(plan.prompt):
            return f"{grammar.until(thinking.close, plan.budget)} {body}"
        free = plan.content is None and not plan.required
        opening = grammar.opening(thinking.open, free=free)
        thought = grammar.rule("thought", f"{opening} {grammar.until(thinking.close, plan.budget)}")
        return f"{thought}? {body}"

    def _write_body(self, grammar: Grammar, plan: Plan, *, many: bool) -> str:
        calls = grammar.rule("calls", self.write_calls(grammar, plan.tools, many=many and not self.repeats))
        opener = self.openers[0]
        call = f"{grammar.literal(opener)} {calls}"
        if many and self.repeats:
            call += f" ({SPACE} {grammar.literal(opener)} {calls})*"
        if plan.required:
            return f"{SPACE} {call}"
        if plan.content is not None:
            return f"{SPACE} ({call} | {self._write_answer(grammar, plan.content)})"
        if not opener:
            start = f"[ \\t\\n]*[^ \\t\\n{regex(self.bare)}]"
            return f"{SPACE} {call} | /{start}(.|\\n)*/?"
        answer = self._write_answer(grammar, FREE)
        before = f"({answer})?" if answer != FREE else ""
        spoken = f"{before} {grammar.until(opener)} {calls}"
        return f"({spoken})* ({answer})" if many and self.repeats else f"{spoken} | {answer}"

    def _write_answer(self, grammar: Grammar, content: str) -> str:
        """Content, with or without wrappers; free text holds those that aren't tokens anyway."""
        ways = [
            f"{grammar.literal(opening)} {content} {grammar.literal(closing)}"
            for opening, closing in self.wrappers
            if content != FREE or grammar.has_token(opening)
        ]
        return " | ".join([content, *ways])
