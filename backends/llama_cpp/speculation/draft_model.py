"""A draft model: a small model of the same vocabulary guesses, token by token, what the large one will say.

All sequences that want drafts are guessed for in one batch. The model keeps cells of its own for each slot, and keeps
them in step by comparing tokens: what it has computed and the sequence does have is kept, whatever happened meanwhile
(drafts that came true or did not, another sequence in the slot, preemption). It guesses its likeliest token: a draft
that is certain to be the same for the same text leaves the sampler's draws alone (see `speculation.py`).
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backends.llama_cpp.context import Span
from backends.llama_cpp.prefix_cache import Tokens, common_prefix
from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.step_time import StepTime

READY = 32
"""Tokens that may be missing when drafts are asked for: computed with the first guess."""
MIN_CHUNK = 32
WORTH_SHARING = 16
"""Tokens that another slot must know beyond one's own to be copied from it."""


class DraftContext(Protocol):
    """What is needed of a `context.Context`."""

    n_ctx: int
    n_slots: int
    n_batch: int

    def decode(self, spans: list[Span]) -> int: ...
    def logits(self) -> npt.NDArray[np.float32]: ...
    def copy(self, source: int, target: int, p0: int, p1: int) -> None: ...
    def remove(self, seq: int, p0: int, p1: int) -> bool: ...


class ContextDraftModel:
    """Implements `speculation.DraftModel`."""

    def __init__(self, context: DraftContext, n_vocab: int, *, n_max: int, n_min: int, p_min: float) -> None:
        """`n_vocab`: the large model's. A draft ends before a token whose probability is less than `p_min`."""
        self.n_max, self.n_min = n_max, n_min
        self._p_min = p_min
        self._n_vocab = n_vocab
        self._context = context
        self._texts = [np.empty(context.n_ctx, np.int32) for _ in range(context.n_slots)]
        """The tokens that each slot has cells for,"""
        self._known = [0] * context.n_slots
        """and how many these are."""
        self._owners = [-1] * context.n_slots
        """The `arrival` of the sequence that each slot was last asked about."""
        self._time = StepTime()

    def seconds(self, n_sequences: int) -> float:
        return self._time.estimate(n_sequences)

    def ready(self, seq: Sequence) -> bool:
        return seq.n_tokens - self._in_step(seq) <= READY

    def prepare(self, seqs: list[Sequence], seconds: float) -> None:
        room = min(max(MIN_CHUNK, self._time.largest_within(seconds, self._context.n_batch)), self._context.n_batch)
        spans = []
        for seq in seqs:
            start = self._in_step(seq)
            end = min(seq.n_tokens - 1, start + room)
            if end > start and seq.slot is not None:
                spans.append(Span(seq.slot, seq.array(end)[start:], start, 0))
                room -= end - start
        self._decode(spans)

    def draft(self, seqs: list[Sequence], lengths: list[int]) -> list[list[int]]:
        drafts: list[list[int]] = [[] for _ in seqs]
        spans: dict[int, Span] = {}
        for i, seq in enumerate(seqs):
            start = self._in_step(seq)
            assert seq.slot is not None
            spans[i] = Span(seq.slot, seq.array()[start:], start, 1)
        while spans and self._decode(list(spans.values())):
            rows = self._context.logits()
            guesses = dict(zip(spans, rows[:, : self._n_vocab], strict=True))
            for i, row in guesses.items():
                token = int(row.argmax())
                last = spans.pop(i)
                if self._p_min > 0 and _probability(row, token) < self._p_min:
                    continue
                drafts[i].append(token)
                if len(drafts[i]) < lengths[i]:
                    start = last.start + len(last.tokens)
                    spans[i] = Span(last.slot, np.array([token], np.int32), start, 1)
        return [draft if len(draft) >= self.n_min else [] for draft in drafts]

    # --- parts ---

    def _in_step(self, seq: Sequence) -> int:
        """How many leading tokens of the sequence have cells; those of other tokens are removed. The last token never
        counts: its logits are wanted."""
        slot = seq.slot
        assert slot is not None
        tokens = seq.array()[:-1]
        if self._owners[slot] != seq.arrival:
            self._owners[slot] = seq.arrival
            self._share(slot, tokens)
        length = common_prefix(tokens, self._texts[slot][: self._known[slot]])
        if length < self._known[slot]:
            self._context.remove(slot, length, -1)
            self._known[slot] = length
        return length

    def _share(self, slot: int, tokens: Tokens) -> None:
        """A new sequence in a slot: begin with the cells of whichever slot knows most of its tokens."""
        shared = [common_prefix(tokens, text[:n]) for text, n in zip(self._texts, self._known, strict=True)]
        source = int(np.argmax(shared))
        if shared[source] >= shared[slot] + WORTH_SHARING:
            self._context.remove(slot, -1, -1)
            self._context.copy(source, slot, 0, shared[source])
            self._texts[slot][: shared[source]] = tokens[: shared[source]]
            self._known[slot] = shared[source]

    def _decode(self, spans: list[Span]) -> bool:
        """Compute them, forgetting others' tokens if there is no room otherwise. False: it could not be done."""
        n_tokens = sum(len(span.tokens) for span in spans)
        if not n_tokens or n_tokens > self._context.n_batch or not self._make_room(n_tokens, spans):
            return False
        started = time.monotonic()
        if self._context.decode(spans) != 0:
            for span in spans:
                self._forget(span.slot)
            return False
        self._time.observe(n_tokens, time.monotonic() - started)
        for span in spans:
            end = span.start + len(span.tokens)
            self._texts[span.slot][span.start : end] = span.tokens
            self._known[span.slot] = end
        return True

    def _make_room(self, n_tokens: int, spans: list[Span]) -> bool:
        """See to cells for so many tokens. Shared ones are counted for each slot that has them: on the safe side."""
        kept = {span.slot for span in spans}
        others = sorted((slot for slot in range(len(self._known)) if slot not in kept), key=lambda s: self._known[s])
        while sum(self._known) + n_tokens > self._context.n_ctx:
            if not others:
                return False
            self._forget(others.pop())
        return True

    def _forget(self, slot: int) -> None:
        self._context.remove(slot, -1, -1)
        self._known[slot] = 0


def _probability(row: npt.NDArray[np.float32], token: int) -> float:
    return 1.0 / float(np.exp(row - row[token]).sum())
