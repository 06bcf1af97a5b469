"""A whole message, put together from its events."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from server.chat.formats.events import CallArguments, CallEnded, CallStarted, ContentText, Event, ReasoningText


class Call(msgspec.Struct):
    name: str
    arguments: str = ""
    id: str | None = None
    """The model's own."""
    complete: bool = False


class Message(msgspec.Struct):
    """`add` events as they come; it is whole after the last."""

    content: str = ""
    reasoning: str = ""
    calls: list[Call] = []

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case ContentText(text):
                    self.content += text
                case ReasoningText(text):
                    self.reasoning += text
                case CallStarted(_, name, id):
                    self.calls.append(Call(name, id=id))
                case CallArguments(index, text):
                    self.calls[index].arguments += text
                case CallEnded(index):
                    self.calls[index].complete = True
