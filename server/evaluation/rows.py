"""What is to be answered, and answers that are there already: both files of JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = dict[str, Any]


class BadData(Exception):
    """The file isn't what it should be; the message is one line."""


@dataclass(frozen=True)
class Row:
    """One question, and what a right answer is."""

    id: str
    """The row's own, or its place, counted from 1."""
    prompt: str | None
    messages: list[JSON] | None
    """A chat instead of a prompt."""
    references: list[str]
    """At least one; the one that is nearest counts."""


@dataclass(frozen=True)
class Answer:
    text: str = ""
    error: str | None = None
    """Why there is none."""


def read_rows(name: str) -> list[Row]:
    """The rows of a file, or of standard input if it is called `-`. Raises BadData."""
    rows = [_row(found, where, place) for place, (found, where) in enumerate(_objects(name), 1)]
    if not rows:
        raise BadData(f"{name} has no rows")
    ids = [row.id for row in rows]
    if len(set(ids)) < len(ids):
        raise BadData(f"{name}: two rows have the id {next(i for i in ids if ids.count(i) > 1)}")
    return rows


def read_predictions(name: str, rows: list[Row]) -> list[Answer]:
    """The answers in a file, one for each row: by `id` if they have one, else in the rows' order. Raises BadData."""
    answers: dict[str, Answer] = {}
    for place, (found, where) in enumerate(_objects(name), 1):
        answers[_id(found, where, place)] = _prediction(found, where)
    missing = [row.id for row in rows if row.id not in answers]
    if missing:
        raise BadData(f"{name} has no prediction for row {missing[0]}, and {len(missing)} of {len(rows)} in all")
    return [answers[row.id] for row in rows]


def _row(found: JSON, where: str, place: int) -> Row:
    prompt, messages = found.get("prompt"), found.get("messages")
    if (prompt is None) == (messages is None):
        raise BadData(f"{where}: give either prompt or messages")
    if prompt is not None and not isinstance(prompt, str):
        raise BadData(f"{where}: prompt must be text")
    if messages is not None and not (isinstance(messages, list) and all(isinstance(m, dict) for m in messages)):
        raise BadData(f"{where}: messages must be a list of objects, as OpenAI's are")
    references = found.get("reference")
    if isinstance(references, str):
        references = [references]
    if not isinstance(references, list) or not references or not all(isinstance(r, str) for r in references):
        raise BadData(f"{where}: reference must be text, or a list of texts")
    return Row(_id(found, where, place), prompt, messages, references)


def _prediction(found: JSON, where: str) -> Answer:
    text, error = found.get("prediction"), found.get("error")
    if text is None and isinstance(error, str):
        return Answer(error=error)
    if not isinstance(text, str):
        raise BadData(f"{where}: prediction must be text")
    return Answer(text)


def _id(found: JSON, where: str, place: int) -> str:
    given = found.get("id", place)
    if not isinstance(given, str | int):
        raise BadData(f"{where}: id must be text or a whole number")
    return str(given)


def _objects(name: str) -> Iterator[tuple[JSON, str]]:
    """Each line's object, and where it stands, for messages."""
    for number, line in enumerate(_lines(name), 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadData(f"{where}: no JSON ({error})") from None
        if not isinstance(found, dict):
            raise BadData(f"{where}: not a JSON object")
        yield found, where


def _lines(name: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        return data.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise BadData(f"cannot read {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise BadData(f"{name} is not UTF-8 text (byte {error.start})") from None
