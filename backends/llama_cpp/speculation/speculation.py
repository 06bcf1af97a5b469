"""Drafts for a batch: which sequences get some, from whom, and how many - as many as the measurements say will pay.

Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192): tokens that probably come next are computed together
with a sequence's last token, in one step; then each is sampled from its own logits, and drafts are kept as long as
what was sampled is what was drafted. Every token is drawn by the sequence's own sampler from the logits that it would
have had without drafts: the text's distribution, and with a seed the text itself, doesn't depend on them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from backends.base import DRAFTERS, Drafter, GenerateRequest
from backends.llama_cpp.prefix_cache import Tokens
from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.step_time import StepTime

from .draft_length import draft_lengths
from .follower import Follower
from .foresight import Beliefs, Foresight
from .prediction import Foretold
from .step_costs import Probes, StepCosts

MAX_DRAFT = 48
"""Tokens drafted for one sequence at a time."""
REMEASURE = 48
"""Steps with drafts after which there is one without: how long these take is half of what decides."""

Drafts = dict[Sequence, tuple[int, ...]]


class DraftModel(Protocol):
    """A small model that guesses what a large one will say."""

    n_max: int
    """Tokens that it may draft at a time."""
    n_min: int
    """Shorter drafts aren't wanted of it."""

    def seconds(self, n_sequences: int) -> float:
        """How long it takes to guess one token of each of so many sequences; 0.0: not known yet."""
        ...

    def ready(self, seq: Sequence) -> bool:
        """Whether it knows all but a few of the sequence's tokens."""
        ...

    def prepare(self, seqs: list[Sequence], seconds: float) -> None:
        """Learn more of their tokens, for about so long."""
        ...

    def draft(self, seqs: list[Sequence], lengths: list[int]) -> list[list[int]]:
        """What each may go on with: so many tokens, or fewer."""
        ...


@dataclass(frozen=True)
class Step:
    """A batch as it is without drafts, and what it leaves room for."""

    n_tokens: int
    n_sequences: int
    """Each computes its last token at least, whose logits it needs, as drafts need theirs."""
    room: int
    """Tokens, rows of logits and cells that there are for drafts."""


class Speculation:
    """Decides on drafts, and learns from every step what they cost and what they bring."""

    def __init__(
        self,
        step_time: StepTime,
        ends: Collection[int],
        drafters: Collection[Drafter] = DRAFTERS,
        model: DraftModel | None = None,
    ) -> None:
        """`step_time`: of steps of any kind. `ends`: tokens that are never drafted, as nothing comes after them.
        `drafters`: with none of them, predictions aren't drafted either, only counted."""
        self._costs = StepCosts(step_time)
        self._probes = Probes()
        self._ends = frozenset(ends)
        self._on = bool(drafters)
        self._looks_up = "ngram-simple" in drafters
        self._model = model if "draft-simple" in drafters else None
        self._by_model: set[Sequence] = set()
        """Whose drafts in the running step are the model's."""
        self._beliefs = Beliefs()
        self._foretold: tuple[list[int], Foretold | None] = ([], None)
        """The last prediction: a request's sequences come one after the other."""
        self._n_since_plain = 0
        """Steps since one had no drafts."""
        self.n_drafts = self.n_drafted = self.n_accepted = 0
        """Drafts computed, their tokens, and those of them that came true."""

    def foresight(self, request: GenerateRequest, text: Tokens) -> Foresight:
        """For a new sequence of `request`; `text` has room for all tokens that it can have."""
        foretold = None
        if request.prediction:
            if request.prediction is not self._foretold[0]:
                self._foretold = request.prediction, Foretold(request.prediction)
            foretold = self._foretold[1]
        return Foresight(text, self._beliefs, foretold, looks_up=self._looks_up)

    def drafts(self, seqs: list[Sequence], step: Step) -> Drafts:
        """What to compute in this step with the last tokens of these decoding sequences."""
        self._by_model.clear()
        drafts: Drafts = {}
        if self._on and step.room > 0 and self._n_since_plain < REMEASURE:
            drafts = self._from_followers(seqs, step)
            if self._model is not None:
                drafts |= self._from_model(self._model, [seq for seq in seqs if seq not in drafts], step, drafts)
        self._n_since_plain = self._n_since_plain + 1 if drafts else 0
        return drafts

    def computed(self, n_tokens: int, seconds: float, *, decodes_only: bool) -> None:
        """A step was computed, with so many tokens, drafts included. `decodes_only`: it had no prompts in it."""
        if decodes_only:
            self._costs.observe(n_tokens, seconds)
        self._probes.earn(seconds)

    def verified(self, seq: Sequence, n_drafted: int, n_accepted: int) -> None:
        """Of a sequence's draft so many tokens came true."""
        self.n_drafts += 1
        self.n_drafted += n_drafted
        self.n_accepted += n_accepted
        if seq in self._by_model and seq.foresight is not None:
            seq.foresight.note_model(n_drafted, n_accepted)

    # --- parts ---

    def _seconds(self, step: Step, n_drafted: int) -> float:
        """How long the step takes with so many tokens drafted. 0.0: not known."""
        return self._costs.estimate(step.n_tokens + n_drafted)

    def _cost(self, step: Step, n_drafted: int, plain: float) -> float:
        """Seconds by which drafts make the step longer than `plain`; never more than as many other steps would take:
        a measurement that says so was disturbed, and is not to stand in the way of a better one."""
        most = plain * n_drafted / step.n_tokens
        return min(max(0.0, self._seconds(step, n_drafted) - plain), most)

    def _from_followers(self, seqs: list[Sequence], step: Step) -> Drafts:
        offers: list[tuple[Sequence, Follower]] = []
        odds: list[list[float]] = []
        for seq in seqs:
            if seq.foresight is None or (follower := seq.foresight.best()) is None:
                continue
            if (n := min(_most(seq), step.room)) > 0:
                offers.append((seq, follower))
                odds.append(follower.odds(n))
        if not offers or not (plain := self._seconds(step, 0)):
            return {}

        def cost(n_drafted: int) -> float:
            return self._cost(step, n_drafted, plain)

        lengths = draft_lengths(odds, lambda n: 1 + cost(n) / plain, step.n_sequences, step.room)
        if not any(lengths):
            lengths = self._probes.lengths(odds, cost)
        drafts = {}
        for (seq, follower), n in zip(offers, lengths, strict=True):
            if n and (draft := self._up_to_end(follower.guess(n))):
                drafts[seq] = draft
        return drafts

    def _from_model(self, model: DraftModel, seqs: list[Sequence], step: Step, others: Drafts) -> Drafts:
        """Drafts of a model, beside the others'. They cost its time too."""
        shortest = max(1, model.n_min)
        seqs = [seq for seq in seqs if seq.foresight is not None and _most(seq) >= shortest]
        n_others = sum(len(draft) for draft in others.values())
        room = step.room - n_others
        if not seqs or room < 1 or not (plain := self._seconds(step, n_others)):
            return {}
        round_ = model.seconds(len(seqs))

        def cost(n_drafted: int) -> float:
            rounds = -(-n_drafted // len(seqs))
            return self._cost(step, n_others + n_drafted, plain) + rounds * round_

        odds = [seq.foresight.model_odds(min(_most(seq), model.n_max, room)) for seq in seqs if seq.foresight]
        lengths = draft_lengths(odds, lambda n: 1 + cost(n) / plain, step.n_sequences, room)
        if not any(lengths):
            lengths = self._probes.lengths(odds, cost)
        wanted = {seq: n for seq, n in zip(seqs, lengths, strict=True) if n >= shortest}
        if behind := [seq for seq in wanted if not model.ready(seq)]:
            model.prepare(behind, plain / 2)
        wanted = {seq: n for seq, n in wanted.items() if model.ready(seq)}
        if not wanted:
            return {}
        found = [self._up_to_end(draft) for draft in model.draft(list(wanted), list(wanted.values()))]
        drafts = {seq: draft for seq, draft in zip(wanted, found, strict=True) if len(draft) >= shortest}
        self._by_model.update(drafts)
        return drafts

    def _up_to_end(self, draft: Iterable[int]) -> tuple[int, ...]:
        return tuple(takewhile(lambda token: token not in self._ends, draft))


def _most(seq: Sequence) -> int:
    """Tokens that can be drafted: the last token that a sequence may have is never computed."""
    return min(seq.max_new - seq.n_generated - 1, MAX_DRAFT)
