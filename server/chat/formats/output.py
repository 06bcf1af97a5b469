"""The events that reading makes, in order.

Whitespace next to a block of markup belongs to the markup: it is held until what follows decides. So an answer that is
nothing but tool calls has no content, and the newlines around thinking are in neither text.
"""

from __future__ import annotations

from server.chat.formats.events import CallArguments, CallEnded, CallStarted, ContentText, Event, ReasoningText
from server.chat.formats.reader import WHITESPACE, Reader


class _Text:
    """Content or reasoning, without the whitespace at its edges that belongs to blocks."""

    def __init__(self, *, after_block: bool) -> None:
        self.held = ""
        self.shown = False
        self.after_block = after_block
        """A block came before its first visible character."""

    def add(self, text: str) -> str:
        """What can be shown now."""
        text = self.held + text
        shown = text.rstrip(WHITESPACE)
        self.held = text[len(shown) :]
        if not shown:
            return ""
        if self.after_block and not self.shown:
            shown = shown.lstrip(WHITESPACE)
        self.shown = True
        return shown

    def release(self) -> str:
        """The whitespace held behind text that was shown: no block can follow that it could belong to."""
        released, self.held = (self.held, "") if self.shown else ("", self.held)
        return released


class Output:
    """What is said commits the reader: it is not read again."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._events: list[Event] = []
        self._kind: type[ContentText | ReasoningText | CallArguments] | None = None
        self._parts: list[str] = []
        """Text of one kind in a row becomes one event."""
        self._content = _Text(after_block=False)
        self._reasoning = _Text(after_block=True)
        self.calls = 0
        """How many have started."""
        self.calling = False
        """The last of them has not ended."""
        self.thinking = False
        self.fresh = True
        """No content since the start or the last block."""
        self.settled = False
        """All that follows is content, whatever it says."""

    @property
    def at_line_start(self) -> bool:
        return self.fresh or "\n" in self._content.held

    def drain(self) -> list[Event]:
        """The events since the last time."""
        self._join()
        events, self._events = self._events, []
        return events

    def content(self, text: str) -> None:
        self._reader.commit()
        shown = self._content.add(text)
        if self.settled:
            shown += self._content.release()
        if shown:
            self.fresh = False
            self._say(ContentText, shown)

    def settle(self) -> None:
        """Nothing but content can follow, so nothing needs to be held back."""
        self.settled = True

    def reasoning(self, text: str) -> None:
        self._reader.commit()
        self.thinking = True
        if shown := self._reasoning.add(text):
            self._say(ReasoningText, shown)

    def block(self) -> None:
        """Thinking or a call begins or ends."""
        self._reader.commit()
        self._join()
        self.thinking = False
        self.fresh = True
        self._content.after_block = True

    def start_call(self, name: str, id: str | None = None) -> None:
        self.block()
        self._events.append(CallStarted(self.calls, name, id))
        self.calls += 1
        self.calling = True

    def arguments(self, text: str) -> None:
        self._reader.commit()
        self._say(CallArguments, text)

    def end_call(self) -> None:
        self.block()
        self.calling = False
        self._events.append(CallEnded(self.calls - 1))

    def finish(self) -> None:
        """The text has ended: show what whitespace is no markup's."""
        if self.thinking and self._reasoning.shown:
            self._say(ReasoningText, self._reasoning.held)
        elif not self.fresh or not self._content.after_block:
            self._say(ContentText, self._content.held)

    def _say(self, kind: type[ContentText | ReasoningText | CallArguments], text: str) -> None:
        if kind is not self._kind:
            self._join()
            self._kind = kind
        self._parts.append(text)

    def _join(self) -> None:
        text, self._parts = "".join(self._parts), []
        if text and self._kind is CallArguments:
            self._events.append(CallArguments(self.calls - 1, text))
        elif text:
            self._events.append(ReasoningText(text) if self._kind is ReasoningText else ContentText(text))
        self._kind = None
