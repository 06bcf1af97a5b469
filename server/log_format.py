"""How log records become lines: text for people, JSON for machines. Nothing that a client sends can forge either.

Arguments that are a mapping are fields: those that the message doesn't show follow it in text, and JSON has them all.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from server.request_record import current

LogFormat = Literal["text", "json"]


def formatter(kind: LogFormat, *, prompts: bool) -> logging.Formatter:
    """`prompts`: prompts may be logged, and so exceptions may say what they are about."""
    return (JSONLines if kind == "json" else TextLines)(prompts=prompts)


class _Lines(logging.Formatter):
    def __init__(self, *, prompts: bool) -> None:
        super().__init__()
        self._prompts = prompts

    def _exception(self, record: logging.LogRecord) -> str | None:
        """The traceback of what the record tells of. Its text may quote what a client has sent."""
        if not record.exc_info or record.exc_info[1] is None:
            return None
        if self._prompts:
            return self.formatException(record.exc_info)
        return "\n".join(_without_texts(record.exc_info[1]))


class TextLines(_Lines):
    """`2026-01-31 12:00:00,000 INFO    [req_…] POST /v1/completions 200 model=demo …`"""

    def format(self, record: logging.LogRecord) -> str:
        request = current()
        where = f"[{request.id}] " if request is not None else ""
        text = printable(record.getMessage().strip())
        fields = "".join(
            f" {name}={_word(value)}"
            for name, value in _fields(record).items()
            if f"%({name})" not in str(record.msg) and value is not None
        )
        line = f"{self.formatTime(record)} {record.levelname:<7} {where}{text}{fields}"
        if (trace := self._exception(record)) is not None:
            line += "".join(f"\n    {printable(part)}" for part in trace.splitlines())
        return line


class JSONLines(_Lines):
    """An object per line; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().strip(),
        }
        if (request := current()) is not None:
            entry["request_id"] = request.id
            if request.trace_id is not None:
                entry["trace_id"] = request.trace_id
        entry |= {name: value for name, value in _fields(record).items() if value is not None}
        if (trace := self._exception(record)) is not None:
            entry["exception"] = trace
        # ASCII only: nothing that a terminal or another reader takes for more than text
        return json.dumps(entry, default=str)


def printable(text: str) -> str:
    """The same on one line: control characters, line ends and what turns the direction of text become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return record.args if isinstance(record.args, Mapping) else {}


def _word(value: Any) -> str:
    """A field's value without spaces, or in quotes."""
    if isinstance(value, list):
        value = ",".join(map(str, value))
    text = str(value)
    if text and text.isprintable() and not any(c in text for c in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _without_texts(error: BaseException) -> Iterator[str]:
    """A traceback with the types of exceptions, and where they come from, only."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if cause is not error:
            yield "which came of:"
        yield type(cause).__qualname__
        yield from (frame.rstrip() for frame in traceback.format_tb(cause.__traceback__))
        if isinstance(cause, BaseExceptionGroup):
            for member in cause.exceptions:
                yield from _without_texts(member)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
