"""OpenAI's `prediction`: the client says what the answer will be like, as when it asks for a small change to a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .acceptance import Acceptance
from .follower import Follower
from .ngram_index import NgramIndex

PRIOR = (0.7, 0.85, 0.9, 0.95, 0.97, 0.97, 0.97)
"""Who sends a prediction expects most of it to come true."""


class Foretold:
    """A request's prediction, for all of its sequences."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = np.array(tokens, np.int32)
        self.index = NgramIndex(self.tokens, len(tokens))


class Prediction(Follower):
    """Follows a sequence through its prediction, from the beginning; counts what comes true.

    A token of the prediction has come true if the sequence produced it when the follower stood there, and it counts
    once: so never more than the prediction has, whatever is repeated. What is computed as a draft makes no difference:
    the same answer to the same request has the same figures under any load.
    """

    def __init__(self, foretold: Foretold, acceptance: Acceptance) -> None:
        tokens = foretold.tokens
        super().__init__(tokens, len(tokens), foretold.index, (-1, -1, -1), acceptance)
        self._places = [0]
        self._came_true = bytearray(len(tokens))

    def accept(self, token: int) -> bool:
        """The sequence goes on with `token`: does a token of the prediction come true with it, for the first time?"""
        place = self._places[0] if self._places else -1
        if not super().accept(token) or self._came_true[place]:
            return False
        self._came_true[place] = 1
        return True

    def _deserves_search(self) -> bool:
        return True
