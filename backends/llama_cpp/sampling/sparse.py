"""Samplers that change the logits of a few tokens, wherever in the chain they stand."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from .arrays import Ids, Indices, Logits, repaired
from .candidates import Candidates


class SparseSampler(Protocol):
    def copy(self) -> Self:
        """Another one that has accepted the same tokens."""
        ...

    def accept(self, token: int) -> None:
        """The next token of the text."""
        ...

    def affected(self) -> Ids:
        """The ids whose logits change, each once, in any order. Valid until the next `accept`."""
        ...

    def changed(self, logits: Logits, which: Indices | slice) -> Logits:
        """New logits for `affected()[which]`, given their old ones."""
        ...


def change_row(sampler: SparseSampler, row: Logits) -> tuple[Ids, Logits]:
    """Apply to logits of the whole vocabulary, in place; the ids that have changed, and their old values."""
    ids = sampler.affected()
    before = row[ids]
    if len(ids):
        row[ids] = sampler.changed(before, slice(None))
    return ids, before


class LateSparseSampler:
    """The same as a stage behind others: on the candidates that these have left."""

    def __init__(self, sampler: SparseSampler) -> None:
        self._sampler = sampler

    def __call__(self, candidates: Candidates) -> None:
        ids = self._sampler.affected()
        if not len(ids):
            return
        entries = candidates.entries
        order = np.argsort(ids)
        place = np.searchsorted(ids, entries["id"], sorter=order)
        which = order[np.minimum(place, len(ids) - 1)]
        hit = np.flatnonzero(ids[which] == entries["id"])
        if not len(hit):
            return
        logits = entries["logit"].copy()
        logits[hit] = self._sampler.changed(logits[hit], which[hit])
        if not np.isfinite(logits.max()):
            logits = repaired(logits, ceiling=float(np.finfo(np.float32).max))
        entries["logit"] = logits
        candidates.reordered()
