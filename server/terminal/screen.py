"""Where a chat is shown: answers as they come, reasoning and notes dimmed, nothing in it that controls the terminal."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from server.terminal.client import Piece
from server.terminal.visible import visible

DIM, PLAIN = "\033[2m", "\033[0m"


class Screen:
    """Answers go to `out`, whatever is said about them to `err`."""

    def __init__(self, out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> None:
        self._out = out
        self._err = err
        self._dim_out, self._dim_err = _dims(out), _dims(err)
        self._thinking = False
        self._at_start = True
        """Of a line."""

    def show(self, piece: Piece) -> None:
        """The next part of an answer."""
        if piece.reasoning:
            if not self._thinking:
                self._begin_thinking()
            self._write(piece.reasoning)
        if piece.content:
            self._end_thinking()
            self._write(piece.content)
        self._out.flush()

    def end_answer(self) -> None:
        """Begin a new line, whatever became of the answer."""
        self._end_thinking()
        if not self._at_start:
            self._out.write("\n")
            self._at_start = True
        self._out.flush()

    def note(self, text: str) -> None:
        """Something about the chat, in lines of its own."""
        shown = visible(text)
        self._err.write(f"{DIM}{shown}{PLAIN}\n" if self._dim_err else f"{shown}\n")
        self._err.flush()

    def error(self, text: str) -> None:
        self._err.write(f"error: {visible(text)}\n")
        self._err.flush()

    def _write(self, text: str) -> None:
        shown = visible(text)
        if shown:
            self._out.write(shown)
            self._at_start = shown.endswith("\n")

    def _begin_thinking(self) -> None:
        self._thinking = True
        self._out.write(DIM if self._dim_out else "<think>\n")

    def _end_thinking(self) -> None:
        if not self._thinking:
            return
        self._thinking = False
        self._out.write(PLAIN if self._dim_out else ("</think>" if self._at_start else "\n</think>"))
        self._out.write("\n\n")
        self._at_start = True


def _dims(stream: TextIO) -> bool:
    """Whether a stream takes colours: https://no-color.org, and terminals that can't."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
