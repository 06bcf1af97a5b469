"""Reading a header piece by piece, from a file that may say anything: memory and time stay bounded."""

from __future__ import annotations

import struct
from typing import BinaryIO

WINDOW = 1 << 20
"""Bytes read at a time."""
MAX_KEPT = 64 << 20
"""Bytes of text that one header may have us keep. The longest chat templates are a thousandth of that."""
MAX_SKIPPED = 16_000_000
"""Strings that may be walked over in one header: a few seconds. The largest vocabularies have a million with merges."""


class GGUFError(Exception):
    """The file can't be used as a GGUF. The message is one clear line; it doesn't name the file."""


class ByteReader:
    """Reads numbers and strings, the next one each time. Raises GGUFError where the file ends, or says nonsense."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, 2)
        self.order = "<"
        """struct's sign for the byte order."""
        self._window, self._start, self._at = b"", 0, 0
        self._kept = self._skipped = 0

    @property
    def position(self) -> int:
        return self._start + self._at

    @property
    def remaining(self) -> int:
        return self.size - self.position

    def number(self, code: str) -> int | float | bool:
        """One value of a struct code."""
        value = struct.unpack(self.order + code, self._take(struct.calcsize(code)))[0]
        assert isinstance(value, int | float)
        return value

    def integer(self, code: str) -> int:
        return int(self.number(code))

    def numbers(self, code: str, count: int) -> tuple[int | float | bool, ...]:
        return struct.unpack(f"{self.order}{count}{code}", self._take(count * struct.calcsize(code)))

    def raw(self, count: int) -> bytes:
        return self._take(count)

    def string(self, what: str, limit: int = MAX_KEPT) -> str:
        """A length and that many bytes. `what` names it in messages."""
        length = self.integer("Q")
        if length > self.remaining:
            raise GGUFError(
                f"{what} would be {length} bytes long, and {self.remaining} are left: the file is truncated or broken"
            )
        self._kept += length
        if length > limit or self._kept > MAX_KEPT:
            raise GGUFError(f"{what} is too long ({length} bytes)")
        return self._take(length).decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        if count > self.remaining:
            raise self._truncated()
        self._go_to(self.position + count)

    def skip_strings(self, count: int) -> None:
        """Pass over strings without keeping them: vocabularies have hundreds of thousands."""
        self._skipped += count
        if self._skipped > MAX_SKIPPED:
            raise GGUFError(f"it lists {self._skipped} strings and more: no vocabulary is that large")
        unpack = struct.Struct(self.order + "Q").unpack_from
        while count:
            if len(self._window) - self._at < 8:
                self._load(8)
            window, at, last = self._window, self._at, len(self._window) - 8
            while count and at <= last:
                at += 8 + unpack(window, at)[0]
                count -= 1
            if self._start + at > self.size:
                raise self._truncated()
            self._go_to(self._start + at)

    def _take(self, count: int) -> bytes:
        if len(self._window) - self._at < count:
            self._load(count)
        taken = self._window[self._at : self._at + count]
        self._at += count
        return taken

    def _load(self, count: int) -> None:
        """A window that begins here and has `count` bytes."""
        if count > self.remaining:
            raise self._truncated()
        self._start, self._at = self.position, 0
        self._stream.seek(self._start)
        self._window = self._stream.read(max(count, WINDOW))
        if len(self._window) < count:  # it has become shorter
            raise self._truncated()

    def _go_to(self, position: int) -> None:
        self._at = position - self._start
        if self._at > len(self._window):
            self._window, self._start, self._at = b"", position, 0

    def _truncated(self) -> GGUFError:
        return GGUFError(f"the file ends inside its header, after {self.size} bytes: it is truncated or broken")
