"""A request becomes sequences: what can't be computed is refused, what an earlier engine has generated is replayed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from llguidance import LLMatcher

from backends.base import GenerateRequest

from .constraint import Grammars
from .engine_messages import Resume
from .prefix_cache import Tokens
from .sampling import Sampler, SamplingVocab
from .sequence import Sequence
from .speculation import Speculation


class Intake:
    def __init__(self, n_ctx: int, vocab: SamplingVocab, speculation: Speculation, grammars: Grammars | None) -> None:
        self._n_ctx = n_ctx
        self._vocab = vocab
        self._speculation = speculation
        self._grammars = grammars

    def sequences(self, job: Resume, grammar: LLMatcher | None) -> list[Sequence]:
        """Those that are to be computed, each where it had come to. Raises ValueError for what can't be computed:
        llama.cpp would abort, or fail the whole batch; and BrokenConstraint."""
        request = job.request
        if not request.prompt:
            raise ValueError("the prompt has no tokens")
        for tokens in (request.prompt, request.prediction):
            if tokens and (min(tokens) < 0 or max(tokens) >= self._vocab.n_vocab):
                raise ValueError(f"token ids go from 0 to {self._vocab.n_vocab - 1}")
        n_prompt = len(request.prompt)
        if n_prompt > self._n_ctx or (n_prompt == self._n_ctx and request.max_tokens):
            raise ValueError(f"the prompt has {n_prompt} tokens, the context {self._n_ctx}")
        prompt = np.array(request.prompt, np.int32)
        samplers = self._samplers(request, job.generated)
        return [self._sequence(job, prompt, index, sampler, grammar) for index, sampler in samplers.items()]

    def _samplers(self, request: GenerateRequest, indices: Iterable[int]) -> dict[int, Sampler]:
        """One for each sequence. Only the first reads the prompt: tens of milliseconds, if penalties look at all of a
        long one."""
        samplers: dict[int, Sampler] = {}
        seed = request.sampling.seed
        for index in indices:
            samplers[index] = Sampler(
                request.sampling,
                self._vocab,
                seed=None if seed is None else (seed + index) & 0xFFFFFFFF,
                prompt=request.prompt,
                sibling=next(iter(samplers.values()), None),
            )
        return samplers

    def _sequence(
        self, job: Resume, prompt: Tokens, index: int, sampler: Sampler, grammar: LLMatcher | None
    ) -> Sequence:
        request = job.request
        seq = Sequence(request, prompt, index, sampler, self._n_ctx)
        seq.foresight = self._speculation.foresight(request, seq.array(seq.n_prompt + seq.max_new))
        if self._grammars is not None and grammar is not None:
            seq.constraint = self._grammars.constraint(grammar)
        seq.replay(job.generated[index])
        seq.prompt_done = job.prompt_done
        seq.n_scored = min(job.n_scored, seq.n_to_score)
        return seq
