"""Text that arrives in pieces, read as if it were all there.

What reads it is a generator that yields wherever the next character decides and has not come; it goes on when there is
more. So a format's parser is written like one for a whole string, and what it makes of a text can't depend on how the
text was cut.

Reading is tentative until `commit`: `rewind` goes back to there. Turning text into events commits it, so that text is
never shown twice, and text that turns out to be malformed is still there to be shown as what it is.

Markers that are tokens are in the text as characters of their own (`marker_tokens.py`); whoever reads says and gets
them as they are spelled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TypeVar

from server.chat.formats.marker_tokens import SPELLED, MarkerTokens
from server.chat.formats.markers import Markers

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Reading that yields when it needs more text, and returns a T."""

Write = Callable[[str], None]

WHITESPACE = " \t\r\n"
_SPACES = re.compile(r"[ \t\r\n]*")


class Malformed(Exception):
    """The text is not what the format says. Caught where reading can go on as content."""


class Reader:
    def __init__(self, tokens: MarkerTokens = SPELLED) -> None:
        self._tokens = tokens
        self._text = ""
        self._at = 0
        self._committed = 0
        self.ended = False
        self.starved = False
        """More text could have made a difference, and there was no more."""

    @property
    def left(self) -> bool:
        """Whether there is text that has come and not been read."""
        return self._at < len(self._text)

    def push(self, text: str) -> None:
        """Another piece."""
        self._text = self._text[self._committed :] + text
        self._at -= self._committed
        self._committed = 0

    def end(self) -> None:
        """There will be no more."""
        self.ended = True

    def commit(self) -> None:
        self._committed = self._at

    def rewind(self) -> None:
        self._at = self._committed

    def commit_before(self, marker: str) -> None:
        """Commit all but the marker, which has just been read."""
        self._committed = self._at - len(self._tokens.form(marker))

    def shown(self, marker: str) -> str:
        """What there is to see of a marker that means nothing where it stands."""
        return self._tokens.shown(self._tokens.form(marker))

    def rest(self) -> str:
        """All that has come and not been read, to be shown; now it is read."""
        text, self._at = self._text[self._at :], len(self._text)
        return self._tokens.shown(text)

    def peek(self) -> Steps[str]:
        """The next character; "" at the end."""
        while self._at == len(self._text):
            if self.ended:
                self.starved = True
                return ""
            yield
        return self._text[self._at]

    def take(self) -> Steps[str]:
        """The next character, read; "" at the end. A token that is no markup here is all that it spells."""
        while True:
            character = yield from self.peek()
            self._at += len(character)
            if (shown := self._tokens.shown(character)) or not character:
                return shown

    def literal(self, *texts: str) -> Steps[str | None]:
        """Whichever of `texts` comes next, the longest, is read and returned; None if none does."""
        while True:
            here = len(self._text) - self._at
            found: str | None = None
            undecided = False
            for text in texts:
                form = self._tokens.form(text)
                if self._text.startswith(form, self._at):
                    found = text if found is None or len(text) > len(found) else found
                elif len(form) > here and form.startswith(self._text[self._at :]):
                    undecided = True
            if self.ended or not undecided:
                self.starved = self.starved or undecided
                self._at += len(self._tokens.form(found or ""))
                return found
            yield

    def expect(self, *texts: str) -> Steps[str]:
        """The same, and Malformed if none comes."""
        found = yield from self.literal(*texts)
        if found is None:
            raise Malformed
        return found

    def comma(self, end: str) -> Steps[None]:
        """Read a comma, or leave the character that ends a list; Malformed if neither comes. Whitespace is skipped."""
        yield from self.spaces()
        if (yield from self.literal(",")) is None and (yield from self.peek()) != end:
            raise Malformed

    def run(self, characters: re.Pattern[str], limit: int = 1 << 30) -> Steps[str]:
        """The longest run that matches `characters` (a class with a star); Malformed beyond `limit`. Tokens end it."""
        parts: list[str] = []
        while True:
            found = characters.match(self._text, self._at, self._tokens.next(self._text, self._at))
            assert found is not None
            parts.append(found.group())
            self._at = found.end()
            limit -= len(found.group())
            if limit < 0:
                raise Malformed
            if self.ended or self._at < len(self._text):
                self.starved = self.starved or self._at == len(self._text)
                return "".join(parts)
            yield

    def stream(self, characters: re.Pattern[str], write: Write) -> Steps[None]:
        """The same, written as it comes."""
        while True:
            found = characters.match(self._text, self._at)
            assert found is not None
            self._pass(found.end(), write)
            if self.ended or self._at < len(self._text):
                return
            yield

    def spaces(self) -> Steps[str]:
        """Whitespace, if there is any."""
        return self.run(_SPACES)

    def until(self, markers: Markers, write: Write) -> Steps[str | None]:
        """Write the text up to the first marker, as it comes. The marker is read and returned; None: the text ended."""
        markers = self._tokens.stops(markers)
        while True:
            found = markers.find(self._text, self._at)
            if found is not None:
                start, marker = found
                self._pass(start, write)
                self._at = start + len(marker)
                return self._tokens.name(marker)
            held = 0 if self.ended else markers.held(self._text, self._at)
            self._pass(len(self._text) - held, write)
            if self.ended:
                self.starved = True
                return None
            yield

    def before(self, *texts: str, end: bool = False) -> Steps[bool]:
        """Whether one of `texts` comes next, whitespace aside, or with `end` nothing more at all. Reads nothing."""
        texts = tuple(map(self._tokens.form, texts))
        skipped = 0
        while True:
            space = _SPACES.match(self._text, self._at + skipped)
            assert space is not None
            at = space.end()
            skipped = at - self._at
            here = len(self._text) - at
            if any(self._text.startswith(text, at) for text in texts):
                return True
            undecided = any(len(text) > here and text.startswith(self._text[at:]) for text in texts)
            if self.ended or (here and not undecided):
                self.starved = self.starved or not here or undecided
                return end and self.ended and not here
            yield

    def after_spaces(self, *texts: str) -> Steps[str | None]:
        """Whichever of `texts` comes next is read, with the whitespace before it; else nothing is."""
        if not (yield from self.before(*texts)):
            return None
        yield from self.spaces()
        return (yield from self.literal(*texts))

    def _pass(self, end: int, write: Write) -> None:
        text = self._tokens.shown(self._text[self._at : end])
        self._at = end
        if text:
            write(text)


def transcribed(text: str, read: Callable[[Reader, Write], Steps[None]]) -> str | None:
    """What `read` writes of the whole text, whitespace aside; None if it holds anything else."""
    reader = Reader()
    reader.push(text.strip(WHITESPACE))
    reader.end()
    parts: list[str] = []
    try:
        for _ in read(reader, parts.append):
            pass
    except Malformed:
        return None
    return None if reader.left else "".join(parts)
