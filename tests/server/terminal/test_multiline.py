from __future__ import annotations

import io

import pytest

from server.terminal.line_editor import PlainLines


@pytest.mark.parametrize(
    ("typed", "messages"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one", ["one"]),
        ("one\\\ntwo\n", ["one\ntwo"]),
        ("one\\", ["one\\"]),
        ('"""one"""\ntwo\n', ["one", "two"]),
        ('"""\none\n\n  two\n"""\nthree\n', ["one\n\n  two", "three"]),
        ('"""one\ntwo', ['one\ntwo']),
        ('say """this"""\n', ['say """this"""']),
        ('"""\n"""\n', [""]),
        ("\n", [""]),
    ],
)  # fmt: skip
def test_lines_become_messages(typed: str, messages: list[str]) -> None:
    lines = PlainLines(io.StringIO(typed))
    found = []
    while (text := lines.read()) is not None:
        found.append(text)
    assert found == messages
