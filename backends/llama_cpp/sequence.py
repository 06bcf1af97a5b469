"""One sequence being generated: a request's i-th continuation, how far it is computed, and its limits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from backends.base import GenerateRequest

from .prefix_cache import Tokens

if TYPE_CHECKING:  # the policy around this class runs without llama.cpp, and so without samplers
    from .constraint import Constraint
    from .sampling import Sampler
    from .speculation import Foresight

_arrivals = itertools.count()

MAX_FORCED = 64
"""Tokens that are taken at once where a grammar leaves only one way to go on."""


class Sequence:
    """Tokens are computed from the left: cells exist for the first `n_computed`.

    Prefill and decode differ only in how many tokens remain; the last one's logits give the next token. So a
    preempted sequence goes on by the same rule: its cells are gone, `n_computed` is what the prefix cache gave back.
    """

    def __init__(self, request: GenerateRequest, prompt: Tokens, index: int, sampler: Sampler, n_ctx: int) -> None:
        """`prompt`: the request's, made an array once for all its sequences, as for 32k tokens that takes a
        millisecond."""
        self.request = request
        self.index = index
        self.sampler = sampler
        self.adapters = request.adapters
        self.arrival = next(_arrivals)
        self.n_prompt = len(request.prompt)
        self.max_new = min(request.max_tokens, n_ctx - self.n_prompt)
        self._tokens = np.empty(self.n_prompt + self.max_new, np.int32)
        self._tokens[: self.n_prompt] = prompt
        self.n_tokens = self.n_prompt
        self.slot: int | None = None
        """The llama.cpp sequence id while running, else None."""
        self.n_computed = 0
        self.n_shared = 0
        """Leading cells that the prefix tree counts: held together with others, or published to them."""
        self.windowed = False
        """Whether it has lost cells outside its attention window, so that nobody can share the others."""
        self.n_cached = 0
        """Prompt tokens that the prefix cache gave when the sequence first started."""
        self.n_overtaken = 0
        """Younger sequences that entered while it waited."""
        self.begun = False
        """Whether the API process has been told that the engine works on it."""
        self.n_failed = 0
        """Batches with it that llama.cpp could not compute, since it last got a token."""
        self.started = False
        self.queued = 0.0
        """Seconds between its arrival and its start."""
        self._arrived = time.monotonic()
        self.prompt_done = False
        """Whether the client has been told that the prompt is computed."""
        self.n_to_score = self.n_prompt - 1 if request.prompt_logprobs is not None and index == 0 else 0
        """Prompt tokens whose log-probabilities are asked for (`prompt_logprobs`: all but the first)."""
        self.n_scored = 0
        self.foresight: Foresight | None = None
        """What may come next; None: nobody asks."""
        self.constraint: Constraint | None = None
        """What must come next; None: anything may."""

    @property
    def n_remaining(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return self.n_tokens - self.n_computed

    @property
    def n_generated(self) -> int:
        return self.n_tokens - self.n_prompt

    @property
    def decoding(self) -> bool:
        """Whether it goes on from step to step, as opposed to prefilling: by the token that was sampled last, and those
        that had to follow it."""
        return self.n_computed >= self.n_prompt and 0 < self.n_remaining <= MAX_FORCED + 1

    @property
    def prefilling(self) -> bool:
        """Whether it has tokens to compute before it can go on from step to step."""
        return self.n_remaining > 0 and not self.decoding

    @property
    def reuses(self) -> bool:
        """Whether it may start from cached cells: tokens still to be scored must be computed afresh."""
        return self.request.cache_prompt and self.n_scored == self.n_to_score

    def array(self, n: int | None = None) -> Tokens:
        """The first `n` tokens (default: all); a view."""
        return self._tokens[: self.n_tokens if n is None else n]

    def with_drafts(self, drafts: tuple[int, ...]) -> Tokens:
        """All tokens, and these behind them; a view. They stand where sampled tokens will overwrite them."""
        end = self.n_tokens + len(drafts)
        self._tokens[self.n_tokens : end] = drafts
        return self._tokens[:end]

    def append(self, token: int, *, computed: bool = False) -> bool:
        """Add a token that was chosen; it has no cell yet, unless it was drafted and so is `computed`. Does a token of
        the request's prediction come true with it? Raises BrokenConstraint."""
        self._tokens[self.n_tokens] = token
        self.n_tokens += 1
        self.n_computed += computed
        self.sampler.accept(token)
        if self.constraint is not None:
            self.constraint.accept(token)
        return self.foresight is not None and self.foresight.accept(token, self.n_tokens)

    def replay(self, tokens: Iterable[int]) -> None:
        """Add tokens that another engine chose for this sequence: as if it had been this one, the random sequence
        included. Raises BrokenConstraint."""
        for token in tokens:
            forced = None if self.constraint is None else self.constraint.forced()
            if forced is None:
                self.sampler.pass_over()
            self.append(token)

    def start(self) -> None:
        """It has a slot, and what the prefix cache had for it. Does nothing if it has had one before."""
        if not self.started:
            self.started = True
            self.n_cached = min(self.n_computed, self.n_prompt)  # a replayed one may have had more
            self.queued = time.monotonic() - self._arrived

    def forget_cells(self) -> None:
        """Nothing that was computed can be trusted (a batch failed half-way): park none of it."""
        self.n_computed = self.n_shared = 0
