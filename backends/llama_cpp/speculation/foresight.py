"""What may come next in one sequence, by all who have an opinion: its prediction, its own text, a draft model."""

from __future__ import annotations

from itertools import takewhile

from backends.llama_cpp.prefix_cache import Tokens

from . import lookup, prediction
from .acceptance import HOPELESS, N_LEVELS, SUREST, Acceptance
from .follower import Follower
from .lookup import PromptLookup
from .prediction import Foretold, Prediction

LONG_MEMORY = 256.0
"""How long what is believed of all sequences remembers, in guesses."""
MODEL_PRIOR = (0.6,) * N_LEVELS
"""How often a draft model's guess comes true."""


class Beliefs:
    """What each source's guesses have been worth in all sequences together: where a new one's estimates begin."""

    def __init__(self) -> None:
        self.prediction = Acceptance(prediction.PRIOR, LONG_MEMORY)
        self.lookup = Acceptance(lookup.PRIOR, LONG_MEMORY)
        self.model = Acceptance(MODEL_PRIOR, LONG_MEMORY)


class Foresight:
    """One sequence's sources of guesses. Told every token, it keeps them at their place and measures them."""

    def __init__(self, text: Tokens, beliefs: Beliefs, foretold: Foretold | None, *, looks_up: bool) -> None:
        """`text`: room for all tokens that the sequence can have, those it has at its beginning."""
        self._text = text
        self._beliefs = beliefs
        self._looks_up = looks_up
        self._prediction = None if foretold is None else Prediction(foretold, Acceptance(beliefs.prediction))
        self._followers: list[Follower] = [] if self._prediction is None else [self._prediction]
        self.model = Acceptance(beliefs.model)
        """What a draft model's guesses are worth here; for all streaks alike, as each guess is made afresh."""

    def accept(self, token: int, n_tokens: int) -> bool:
        """`token` is the sequence's last of `n_tokens` now. Does a token of the prediction come true with it?"""
        if self._looks_up:  # only now: most prompts' tokens are never looked up by sequences that generate nothing
            self._looks_up = False
            self._followers.append(PromptLookup(self._text, n_tokens - 1, Acceptance(self._beliefs.lookup)))
        came_true = False
        for follower in self._followers:
            right = follower.accept(token)
            came_true |= right and follower is self._prediction
        return came_true

    def best(self) -> Follower | None:
        """Who guesses the next token, and most likely right."""
        guessing = [follower for follower in self._followers if follower.guesses]
        return max(guessing, key=lambda follower: follower.likelihood, default=None)

    def model_odds(self, n: int) -> list[float]:
        """For each of the next `n` tokens that a draft model would guess: that it and all before it come true."""
        probability = min(SUREST, self.model.probability(0))
        return list(takewhile(lambda odd: odd >= HOPELESS, (probability**i for i in range(1, n + 1))))

    def note_model(self, n_drafted: int, n_accepted: int) -> None:
        """Of so many tokens that a draft model had drafted, so many came true."""
        for _ in range(n_accepted):
            self.model.note(0, True)
        if n_accepted < n_drafted:
            self.model.note(0, False)
