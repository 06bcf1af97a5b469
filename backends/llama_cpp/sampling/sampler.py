"""One sequence's sampler: logits row in, token out."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np

from backends.base import RANDOM_SEED, SamplingParams

from .arrays import Ids, Logits, Mask, allowed, repaired, usable
from .chain import Chain, active_samplers, always_takes_the_best
from .dry import Dry
from .limits import bounded
from .penalties import RepeatPenalties
from .prefilter import prefilter_for
from .sparse import SparseSampler, change_row
from .vocab import SamplingVocab


class Sampler:
    """Chooses the tokens of one sequence. Used by one thread at a time; several may run in parallel, on rows of
    their own: `sample` changes its row for a moment.

    In order: biases and bans, then the samplers of `params.samplers`. Leading penalties and DRY change a few logits
    of the row; then the prefilter drops what can't survive, and the chain runs over the rest.
    """

    def __init__(
        self,
        params: SamplingParams,
        vocab: SamplingVocab,
        *,
        seed: int | None,
        prompt: Sequence[int],
        sibling: Sampler | None = None,
    ) -> None:
        """`prompt` counts for penalties and DRY. `seed` None: a random one. Numbers out of range count as the
        nearest in range (see `limits`), samplers of unknown name are passed over. Raises ValueError for what has no
        meaning: NaN, a bias for a token that there is not.

        `sibling`: another one with the same parameters and prompt, which hasn't accepted anything yet. It saves reading
        the prompt again."""
        params = bounded(params, vocab.n_vocab)
        self.seed = _usable_seed(seed)
        """The seed in use."""
        self._vocab = vocab
        self._bias_ids, self._biases = _biases(params, vocab)
        self._min_tokens = params.min_tokens
        self._n_generated = 0
        order = active_samplers(params)
        sparse: dict[str, SparseSampler] = {}
        if sibling is not None:
            sparse = {name: sampler.copy() for name, sampler in sibling._sparse.items()}
        else:
            if "penalties" in order:
                sparse["penalties"] = RepeatPenalties(params, prompt)
            if "dry" in order:
                sparse["dry"] = Dry(params, prompt, vocab.breakers)
        self._sparse: dict[str, SparseSampler] = sparse
        n_first = next(i for i, name in enumerate(order) if name not in sparse)
        self._first = [sparse[name] for name in order[:n_first]]
        """Those that come before everything else, and so apply to the whole row."""
        rest = order[n_first:]
        self._prefilter = prefilter_for(rest, params)
        self._chain: Chain | None = None
        """None: always the token with the highest logit."""
        if not always_takes_the_best(rest, params):
            self._chain = Chain(rest, params, vocab, self.seed, sparse)

    def sample(self, logits: Logits, mask: Mask | None = None) -> int:
        """The next token, given its float32 [n_vocab] logits: changed meanwhile, and put back. Call `accept` with it.

        `mask`: the tokens that may be chosen at all, a bit each; at least one. NaN counts as banned. If every token is
        banned, one of the mask is taken all the same; without a mask, the first end-of-generation token ends the text.
        """
        row = logits if mask is None else self._masked(logits, mask)
        # In place, and back again: to copy a row of 152k logits takes 0.15 ms of a draw's 0.4 from cold caches.
        before = self._change(row)
        try:
            token = self._choose(row, masked=mask is not None)
        finally:
            for ids, values in reversed(before):
                row[ids] = values
        return self._last_resort(logits, mask) if token is None else token

    def accept(self, token: int) -> None:
        """Take note of the token that comes next in the text, whoever chose it."""
        self._n_generated += 1
        for sampler in self._sparse.values():
            sampler.accept(token)
        if self._chain is not None:
            self._chain.accept(token)

    def pass_over(self) -> None:
        """An earlier sampler with the same seed has chosen the next token: pass over its draw. `accept` comes next.

        What follows is as if `sample` had chosen it; except that mirostat and adaptive-p, whose state comes from the
        logits, begin anew, and that XTC draws nothing where only one candidate had reached it, which isn't known.
        """
        if self._chain is not None:
            self._chain.skip_draw(self._vocab.workspace.candidates)

    def close(self) -> None:
        """Free llama.cpp's samplers; may be called twice. `sample` must not be called after it."""
        if self._chain is not None:
            self._chain.close()

    def __del__(self) -> None:
        if getattr(self, "_chain", None) is not None:
            self.close()

    def _masked(self, logits: Logits, mask: Mask) -> Logits:
        row = self._vocab.workspace.row
        row.fill(-np.inf)
        np.copyto(row, logits, where=allowed(mask, len(row)))
        return row

    def _change(self, row: Logits) -> list[tuple[Ids, Logits]]:
        """Apply biases, bans and leading sparse samplers; what was there before, in that order."""
        before: list[tuple[Ids, Logits]] = []
        ban_ends = self._n_generated < self._min_tokens
        if not (len(self._bias_ids) or ban_ends or self._first):
            return before
        with np.errstate(all="ignore"):  # inf - inf and the like: `usable` sees to them
            if len(self._bias_ids):
                before.append((self._bias_ids, row[self._bias_ids]))
                row[self._bias_ids] += self._biases
            if ban_ends:
                before.append((self._vocab.eog, row[self._vocab.eog]))
                row[self._vocab.eog] = -np.inf
            before += [change_row(sampler, row) for sampler in self._first]
        return before

    def _choose(self, row: Logits, *, masked: bool) -> int | None:
        """None: nothing may be chosen."""
        if self._chain is None:
            best = int(row.argmax())
            if row[best] > -np.inf:
                return best
            row = repaired(row)
            best = int(row.argmax())
            return best if row[best] > -np.inf else None
        peak, survivors = self._prefilter(row)
        if not usable(peak):
            row = repaired(row)
            peak, survivors = self._prefilter(row)
            if not usable(peak):
                return None
        candidates = self._vocab.workspace.candidates
        if survivors is None and masked:  # some samplers count candidates, or take logarithms
            survivors = np.flatnonzero(row > -np.inf)
        if survivors is None:
            candidates.load(self._vocab.all_ids, row)
        else:
            candidates.load(survivors, row[survivors])
        token = self._chain.choose(candidates)
        # infill ends the text where nothing is likely, even if the end is banned
        return token if row[token] > -np.inf else int(row.argmax())

    def _last_resort(self, logits: Logits, mask: Mask | None) -> int:
        """Nothing may be chosen. End the text; in a vocabulary without an end, or with a mask, heed no ban."""
        if mask is not None:
            ids = np.flatnonzero(allowed(mask, len(logits)))
            return int(ids[repaired(logits[ids]).argmax()])
        if len(self._vocab.eog):
            return int(self._vocab.eog[0])
        return int(repaired(logits).argmax())


def _usable_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(RANDOM_SEED)
    return min(seed & 0xFFFFFFFF, RANDOM_SEED - 1)  # never llama.cpp's random one: the same seed gives the same text


def _biases(params: SamplingParams, vocab: SamplingVocab) -> tuple[Ids, Logits]:
    """Ids, each once, and what to add to their logits: the request's biases, and -inf for what is always banned."""
    biases = dict(params.logit_bias)
    banned = [*vocab.suppress.tolist(), *(vocab.eog.tolist() if params.ignore_eos else ())]
    biases.update((token, -np.inf) for token in banned)
    return np.array(list(biases), np.int32), np.array(list(biases.values()), np.float32)
