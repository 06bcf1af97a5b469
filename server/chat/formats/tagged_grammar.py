"""The grammar of messages whose calls stand between markers, in text that is otherwise free.

Where text is free, it goes on until something opens a call that the parser would read as one; from there the call is
all that may follow. So what a message is found to call is always what the grammar has let it call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from server.chat.formats.format import Writing
from server.chat.formats.grammar import FREE, SPACE, Grammar

if TYPE_CHECKING:
    from server.chat.formats.tagged import TaggedFormat


class BareCalls(NamedTuple):
    """Calls without a marker: text is one from the name on, if that is a tool's."""

    head: str
    """A regular expression for what comes before the name, from the start of the line on."""
    named: str
    """The body of a rule for the rest. It begins with a lazy rule for each name: to be told from other text."""


class TaggedGrammar:
    def __init__(self, tagged: TaggedFormat, grammar: Grammar, writing: Writing) -> None:
        self._format = tagged
        self._grammar = grammar
        self._writing = writing
        many = writing.many and tagged.parallel
        self._repeated = many and tagged.repeats
        self._inside = many and not tagged.repeats
        """Several calls have one opener."""
        self._openings = self._tail = ""
        """Rules for text up to a call and that call, and for what may follow it."""

    def message(self) -> str:
        """The body of a rule for it."""
        grammar, writing = self._grammar, self._writing
        if not writing.tools:
            first = self._answer()
        else:
            calls = grammar.rule("calls", self._format.write_calls(grammar, writing.tools, many=self._inside))
            first = self._with_calls(calls)
        first = grammar.rule("message", first)
        thinking = writing.thinking
        if thinking is None:
            return first
        later = first if writing.content is None else f"{SPACE} {first}"
        if thinking.opened_by(writing.prompt):
            return self._thought(later)
        free = writing.content is None and not writing.required
        opening = grammar.opening(thinking.open, free=free)
        return f"{opening} ({self._thought(later)}) | {first}"

    def _thought(self, later: str) -> str:
        """The rest of a block of thinking, and then this."""
        writing = self._writing
        assert writing.thinking is not None
        body = f"{self._grammar.until(writing.thinking.close, writing.budget)} {later}"
        if self._format.calls_end_thinking and writing.tools and writing.budget is None:
            body += f" | {self._openings} {self._tail}"
        return body

    def _with_calls(self, calls: str) -> str:
        writing = self._writing
        self._openings = self._grammar.rule("opened", self._opened(calls))
        self._tail = "speech" if self._repeated else ""
        if not writing.required and writing.content is None:
            return self._speech()
        call = f"{self._grammar.literal(self._format.openers[0])} {calls}"
        self._tail = f"({SPACE} {call})*" if self._repeated else ""
        called = f"{SPACE} {call} {self._tail}"
        return called if writing.required else f"{called} | {self._answer()}"

    def _opened(self, calls: str) -> str:
        """Text up to any of the markers, and what may follow it."""
        grammar, tools = self._grammar, self._writing.tools
        usual, *others = self._format.openers
        ways = [f"{grammar.until(usual)} {calls}"] if usual else []
        for opener in others:
            body = self._format.write_calls_after(opener, grammar, tools, many=self._inside)
            ways.append(f"{grammar.until(opener)} {calls if body is None else grammar.rule('calls', body)}")
        return " | ".join(ways)

    def _speech(self) -> str:
        """Text and calls as they come."""
        grammar = self._grammar
        wrapped = self._wrapped(FREE)
        before = f"({' | '.join(wrapped)})?" if wrapped else ""
        ways = [self._answer(), f"{before} {self._openings} {self._tail}"]
        if self._format.bare:
            ways.append(self._bare())
        return grammar.define("speech", " | ".join(ways))

    def _bare(self) -> str:
        """Text up to what may be a call without a marker, and then one, or more text."""
        grammar, writing = self._grammar, self._writing
        head, named = self._format.write_bare_calls(grammar, writing.tools, many=self._inside)
        first = grammar.rule("head", rf"/((.|\n)*\n)?[ \t\r]*{head}/", "[lazy]")
        later = grammar.rule("head", rf"/(.|\n)*\n[ \t\r]*{head}/", "[lazy]")
        behind = f"({grammar.rule('named', named)} {self._tail} | more)"
        grammar.define("more", f"{FREE} | {self._openings} {self._tail} | {later} {behind}")
        return f"{first} {behind}"

    def _answer(self) -> str:
        """Content, with or without wrappers; free text holds those that aren't tokens anyway."""
        content = self._writing.content or FREE
        return " | ".join([content, *self._wrapped(content)])

    def _wrapped(self, content: str) -> list[str]:
        return [
            f"{self._grammar.literal(opening)} {content} {self._grammar.literal(closing)}"
            for opening, closing in self._format.wrappers
            if content != FREE or self._grammar.has_token(opening)
        ]
