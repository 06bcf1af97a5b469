"""A JSON object written member by member, for formats whose arguments are no JSON."""

from __future__ import annotations

from server.chat.formats.json_string import escaped, quoted
from server.chat.formats.reader import Write


class ObjectWriter:
    def __init__(self, write: Write) -> None:
        self.write = write
        self._next = "{"

    def key(self, name: str) -> None:
        """A member; its value is to be written next."""
        self.write(f"{self._next}{quoted(name)}: ")
        self._next = ", "

    def text(self, text: str) -> None:
        """More of a string's inside."""
        self.write(escaped(text))

    def close(self) -> None:
        self.write("}" if self._next == ", " else "{}")
