"""What is written to a terminal, and to what is none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from server.terminal.client import Piece
from server.terminal.history import history_file
from server.terminal.screen import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO) -> str:
    """Two answers, of which the first is thought about; and a note, written to the same terminal."""
    screen = Screen(out, out)
    for piece in (Piece(reasoning="hm\n"), Piece(reasoning="so\x1b[0m"), Piece("yes"), Piece(" sir\n")):
        screen.show(piece)
    screen.end_answer()
    screen.show(Piece(reasoning="stopped"))
    screen.end_answer()
    screen.note("note")
    return out.getvalue()


def test_reasoning_and_notes_are_dimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert shown(Terminal()) == ("\x1b[2mhm\nso[0m\x1b[0m\n\nyes sir\n\x1b[2mstopped\x1b[0m\n\n\x1b[2mnote\x1b[0m\n")


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), (None, "")])
def test_without_colours_reasoning_is_marked(monkeypatch: pytest.MonkeyPatch, variable: str | None, value: str) -> None:
    monkeypatch.setenv("TERM", "xterm")
    if variable is not None:
        monkeypatch.setenv(variable, value)
    out = io.StringIO() if variable is None else Terminal()
    assert shown(out) == (
        "<think>\nhm\nso[0m\n</think>\n\nyes sir\n" "<think>\nstopped\n</think>\n\n" "note\n"
    )  # fmt: skip


def test_without_a_place_for_history_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = history_file()
    assert found is not None and found.is_relative_to(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert history_file() is None
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # a user without a home
    assert history_file() is None
