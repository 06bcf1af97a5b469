"""Token pieces (bytes) to text, as they come.

A character whose bytes are spread over tokens is held until it is complete; bytes that can't become a character turn
into U+FFFD, one per maximal subpart, as Python's `errors="replace"` does it. So the text is the same however the bytes
are split. Pieces are joined as they are: like llama-server, a leading space of the first token is kept.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Collection, Iterable

from backends.base import TokenizerInfo


class Detokenizer:
    """The text of one sequence. Call `push` per token and `finish` once at its end."""

    __slots__ = ("_hidden", "_partial", "_pieces")

    def __init__(self, info: TokenizerInfo, *, special: bool | Collection[int] = False) -> None:
        """`special`: render control tokens, all or these, as their markup, instead of as nothing."""
        self._pieces = info.pieces
        self._hidden: frozenset[int]
        if isinstance(special, bool):
            self._hidden = frozenset() if special else info.control_tokens
        else:
            self._hidden = info.control_tokens.difference(special)
        self._partial = b""

    @property
    def pending(self) -> bool:
        """Whether a character has begun whose last byte has not come."""
        return bool(self._partial)

    def push(self, token: int) -> str:
        """The characters that `token` completes, perhaps none. Raises IndexError if the vocabulary has no such id."""
        if token in self._hidden:
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
