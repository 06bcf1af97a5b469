"""The incremental parser of one message."""

from __future__ import annotations

from collections.abc import Callable

from server.chat.formats.events import ContentText, Event
from server.chat.formats.marker_tokens import MarkerTokens
from server.chat.formats.output import Output
from server.chat.formats.reader import Reader, Steps


class MessageParser:
    """`feed` it the text of one sequence as it comes, and `finish` it once. Neither raises, whatever the text.

    The events, texts of a kind joined, don't depend on how the text was cut.
    """

    def __init__(self, read: Callable[[Reader, Output], Steps[None]], tokens: MarkerTokens) -> None:
        self._tokens = tokens
        self._reader = Reader(tokens)
        self._output = Output(self._reader)
        self._steps = read(self._reader, self._output)
        next(self._steps, None)  # so that `thinking` is right from the start

    @property
    def settled(self) -> bool:
        """Whether all that follows is content, as it is: it needn't be parsed any more."""
        return self._output.settled

    @property
    def thinking(self) -> bool:
        """Whether the text so far ends inside a block of thinking."""
        return self._output.thinking

    def feed(self, text: str) -> list[Event]:
        if self._output.settled:
            return [ContentText(shown)] if (shown := self._tokens.shown(text)) else []
        self._reader.push(text)
        next(self._steps, None)
        return self._output.drain()

    def finish(self) -> list[Event]:
        """What was held back; a block that was left open stays so."""
        self._reader.end()
        next(self._steps, None)
        self._output.finish()
        return self._output.drain()
