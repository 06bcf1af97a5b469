"""Parsing texts in pieces, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.events import CallArguments, CallEnded, CallStarted, ContentText, Event, ReasoningText
from server.chat.formats.tools import Tool
from tests.server.chat_formats.message import Message
from tests.server.chat_formats.writers import TOOLS, Written

KNOWN = [*TOOLS, *map(Tool, ("f", "g", "other", "cal.add", "a.b:c"))]
"""Tools that may be called, if a test doesn't say which."""


def events(
    written: Written, pieces: Iterable[str], tools: Sequence[Tool] = KNOWN, prompt: str | None = None
) -> list[Event]:
    chat = ChatFormat(written.format, written.thinking)
    parser = chat.parser(tools, written.prompt if prompt is None else prompt)
    found: list[Event] = []
    for piece in pieces:
        found += parser.feed(piece)
    return joined([*found, *parser.finish()])


def joined(found: Iterable[Event]) -> list[Event]:
    """Neighbouring texts of a kind as one: all that may depend on how the text was cut."""
    result: list[Event] = []
    for event in found:
        match event, result[-1] if result else None:
            case ContentText(text), ContentText(before):
                result[-1] = ContentText(before + text)
            case ReasoningText(text), ReasoningText(before):
                result[-1] = ReasoningText(before + text)
            case CallArguments(index, text), CallArguments(same, before) if index == same:
                result[-1] = CallArguments(index, before + text)
            case _:
                result.append(event)
    return result


def check_order(found: Iterable[Event]) -> None:
    """Indices rise, a call's events follow its start, and no text is empty."""
    started = -1
    ended = -1
    for event in found:
        match event:
            case CallStarted(index, name):
                assert index == started + 1 and name
                started = index
            case CallArguments(index, text):
                assert index == started > ended and text
            case CallEnded(index):
                assert index == started > ended
                ended = index
            case ContentText(text) | ReasoningText(text):
                assert text


def message(written: Written, *pieces: str, tools: Sequence[Tool] = KNOWN, prompt: str | None = None) -> Message:
    found = events(written, pieces, tools, prompt)
    check_order(found)
    result = Message()
    result.add(found)
    return result
