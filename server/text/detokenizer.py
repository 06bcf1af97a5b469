"""Token pieces (bytes) to text, as they come.

A character whose bytes are spread over tokens is held until it is complete; bytes that can't become a character turn
into U+FFFD, one per maximal subpart, as Python's `errors="replace"` does it. So the text is the same however the bytes
are split. Pieces are joined as they are: like llama-server, a leading space of the first token is kept.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Iterable, Mapping

from backends.base import TokenizerInfo


class Detokenizer:
    """The text of one sequence. Call `push` per token and `finish` once at its end."""

    __slots__ = ("_instead", "_partial", "_pieces", "_unshown")

    def __init__(self, info: TokenizerInfo, *, special: bool = False, instead: Mapping[int, str] | None = None) -> None:
        """`special`: render control tokens as their markup, instead of as nothing. `instead`: what to render these
        tokens as."""
        self._pieces = info.pieces
        self._unshown: frozenset[int] = frozenset() if special else info.control_tokens
        self._instead = instead or {}
        self._partial = b""

    @property
    def pending(self) -> bool:
        """Whether a character has begun whose last byte has not come."""
        return bool(self._partial)

    def push(self, token: int) -> str:
        """The characters that `token` completes, perhaps none. Raises IndexError if the vocabulary has no such id."""
        if token in self._instead:
            text = self._instead[token]
            return self.finish() + text if text else ""
        if token in self._unshown:
            return ""
        data = self._partial + self._pieces[token]
        text, used = utf_8_decode(data, "replace", False)
        self._partial = data[used:]
        return text

    def finish(self) -> str:
        """U+FFFD for a character left incomplete, else nothing."""
        data, self._partial = self._partial, b""
        return data.decode("utf-8", "replace")


def detokenize(info: TokenizerInfo, tokens: Iterable[int], *, special: bool = False) -> str:
    """The text of all `tokens` at once."""
    detokenizer = Detokenizer(info, special=special)
    return "".join([*map(detokenizer.push, tokens), detokenizer.finish()])
