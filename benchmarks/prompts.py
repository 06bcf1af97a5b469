"""What is asked: prose of a given length in words or tokens, the same for all servers of a round, new in each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .words import prose

Message = dict[str, str]
TokenCount = Callable[[str], int]


class Prompts:
    """Writes the texts of one round. `count` tells how many tokens the model's vocabulary makes of a text."""

    def __init__(self, seed: str, count: TokenCount) -> None:
        self.random = Random(seed)
        self._count = count

    def words(self, n: int) -> str:
        return prose(self.random, n)

    def tokens(self, n: int) -> str:
        """A text of about `n` tokens, a few more at most."""
        text = self.words(int(n / 1.4))
        while (missing := n - self._count(text)) > 0:
            text += " " + self.words(max(1, int(missing / 1.5)))
        return text

    def question(self, n_words: int) -> list[Message]:
        """A chat of one message."""
        return [user(self.words(n_words))]


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}
