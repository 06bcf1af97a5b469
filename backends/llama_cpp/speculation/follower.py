"""Follows a sequence through a text that it repeats: knows where in the text it is, and so what comes next.

The next token is guessed to be the text's next one. When another comes, the place is lost, and every token tells more
about where the sequence goes on: after a replaced token, after some left out, where it was (something is inserted), or
wherever the last three tokens stand. All these places are kept as candidates; those that the following tokens
contradict fall away.

Copying is LLMA's idea (Yang et al. 2023, arXiv:2304.04487) and prompt lookup decoding's (Saxena 2023,
github.com/apoorvumang/prompt-lookup-decoding); a place that moves along while it is right, and whose streak tells how
sure it is, is a match model as compressors have it (Mahoney's PAQ).
"""

from __future__ import annotations

import numpy as np

from backends.llama_cpp.prefix_cache import Tokens

from .acceptance import Acceptance
from .ngram_index import NgramIndex, Run

SETTLED = 3
"""Right guesses in a row after which a place counts as found, and one that was lost before is forgotten."""
REACH = 32
"""Tokens behind a lost place within which the text is expected to go on, and for how many one looks there."""
NEAR = 3
"""Places within reach where just the last token stands that become candidates: the nearest ones."""


class Follower:
    """One sequence in one text. `accept` is told every token of the sequence; `guess` says what may come next."""

    def __init__(self, text: Tokens, n_known: int, index: NgramIndex, last: Run, acceptance: Acceptance) -> None:
        """`text[:n_known]` can be repeated, and is what `index` knows; `last` are the sequence's last three tokens
        (-1: none)."""
        self._text = text
        self._at = text.data  # a single element is read three times as fast as from the array
        self._known = n_known
        self._index = index
        self._last = last
        self._places: list[int] = []
        """Where the next token may stand, the likeliest place first. Only the first can be behind the text's end."""
        self._lost: int | None = None
        """Where the place was last lost. None: not so, or it has been found since."""
        self._astray = 0
        """Tokens that have come since, the one that wasn't expected included."""
        self.streak = 0
        """Right guesses in a row."""
        self.acceptance = acceptance

    @property
    def guesses(self) -> bool:
        """Whether there is a guess at the next token."""
        return bool(self._places) and self._places[0] < self._known

    @property
    def likelihood(self) -> float:
        """That the guess at the next token is right."""
        return self.acceptance.probability(self.streak)

    def odds(self, n: int) -> list[float]:
        """For each of the next `n` guesses: that it and all before it are right."""
        return self.acceptance.odds(self.streak, n)

    def guess(self, n: int) -> list[int]:
        """Up to `n` tokens that may come next."""
        if not self._places:
            return []
        place = self._places[0]
        tokens: list[int] = self._text[place : min(place + n, self._known)].tolist()
        return tokens

    def accept(self, token: int) -> bool:
        """The sequence goes on with `token`: was that the guess?"""
        right = self._follow(token)
        self._last = (self._last[1], self._last[2], token)
        if not self._places:
            self._search()
        return right

    def _follow(self, token: int) -> bool:
        self._astray += 1
        if not self._places:
            return False
        place = self._places[0]
        right = place < self._known and self._at[place] == token
        if place < self._known:
            self.acceptance.note(self.streak, right)
        if right:
            self.streak += 1
            if self.streak >= SETTLED:
                self._lost = None
        else:
            if self._lost is None and self._deserves_search():
                self._lost, self._astray = place, 1
            self.streak = 0
        if right and len(self._places) == 1:
            self._places[0] += 1
        else:
            self._places = [p + 1 for p in self._places if p < self._known and self._at[p] == token]
        return right

    def _deserves_search(self) -> bool:
        """Whether the place that is being lost was one, and not a match by chance."""
        return self.streak >= SETTLED

    def _search(self) -> None:
        """No candidate is left: where may the sequence go on in the text?"""
        found = self._index.find(self._last)
        places = [] if found is None else [found]
        if self._lost is not None:
            if self._astray <= REACH:
                places += self._places_near(self._lost)
            else:
                self._lost = None
        self._places = [place for place in dict.fromkeys(places) if place < self._known]

    def _places_near(self, lost: int) -> list[int]:
        """As many tokens on as have come; after the last token, where it stands near; where the place was lost."""
        level = lost + self._astray
        near = np.flatnonzero(self._text[lost : min(lost + REACH, self._known)] == self._last[-1]) + lost + 1
        return [level, *sorted(near.tolist(), key=lambda place: abs(place - level))[:NEAR], lost]
