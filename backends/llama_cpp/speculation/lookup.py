"""Prompt lookup: a sequence that repeats what stands in its own prompt, or what it has said before.

Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding. Edits, quotes, code and structured data repeat much; where
nothing is repeated there is no guess, and no cost but a microsecond a token.
"""

from __future__ import annotations

from backends.llama_cpp.prefix_cache import Tokens

from .acceptance import Acceptance
from .follower import Follower
from .ngram_index import NgramIndex

PRIOR = (0.15, 0.35, 0.55, 0.75, 0.9, 0.95, 0.97)
"""Three tokens that have stood together before are mostly no more than a turn of phrase."""


class PromptLookup(Follower):
    """Follows a sequence through its own tokens."""

    def __init__(self, text: Tokens, n_known: int, acceptance: Acceptance) -> None:
        """`text[:n_known]` are the sequence's tokens; those that it gets are written behind them before `accept`."""
        last = [-1, -1, -1, *text[max(0, n_known - 3) : n_known].tolist()]
        super().__init__(text, n_known, NgramIndex(text, n_known), (last[-3], last[-2], last[-1]), acceptance)

    def guess(self, n: int) -> list[int]:
        """Up to `n` tokens. What has been repeated up to the present moment goes on to be repeated, round and round."""
        tokens = super().guess(n)
        return (tokens * -(-n // len(tokens)))[:n] if tokens else []

    def accept(self, token: int) -> bool:
        self._known += 1
        right = super().accept(token)
        self._index.add(self._last, self._known)
        return right
