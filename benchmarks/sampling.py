"""Choosing tokens of a large vocabulary: Paddock's sampler against llama.cpp's own chain, on a model's real logits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from time import perf_counter

import llama_cpp.llama_cpp as C
import numpy as np

from backends.base import SamplingParams
from backends.engine_options import EngineOptions
from backends.llama_cpp.context import Context, Span
from backends.llama_cpp.model import Model
from backends.llama_cpp.sampling import Sampler, SamplingVocab

from .loads.base import Measure
from .peers import Setup
from .results import OURS, Comparison, Run

COST = Measure("sample", "µs", False)
THEIRS = "llama_sampler_sample"
PARAMS = SamplingParams(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, seed=1)
N_ROWS = 64
"""Rows of logits, each of another position."""


def compare_samplers(setup: Setup, n_pairs: int) -> Comparison:
    """Alternating passes over the same rows, each row sampled and accepted once: microseconds per token."""
    options = EngineOptions(model_path=str(setup.model), n_parallel=1, n_ctx=512, n_threads=setup.threads)
    model = Model(options, lambda _fraction: None)
    context = Context(model, options, options.n_ctx, setup.threads)
    random = Random(1)
    tokens = np.array([random.randrange(model.n_vocab // 2) for _ in range(N_ROWS)], np.int32)
    if context.decode([Span(0, tokens, 0, N_ROWS)]):
        raise RuntimeError("llama_decode failed")
    vocab = SamplingVocab.from_model(model.vocab)
    passes = {OURS: _ours(context, vocab), THEIRS: _theirs(context)}
    for one_pass in passes.values():
        one_pass()
    rounds = []
    for number in range(n_pairs):
        order = list(passes)[:: -1 if number % 2 else 1]
        rounds.append([_timed(name, passes[name]) for name in order])
    context.close()
    model.close()
    return Comparison(
        load="sampling",
        what=f"temperature 0.8, top_k 40, top_p 0.95, min_p 0.05 over {model.n_vocab:,} tokens, per sequence and token",
        measures=[COST],
        settings={"rows": str(N_ROWS)},
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=rounds,
    )


def _timed(name: str, one_pass: Callable[[], None]) -> Run:
    started = perf_counter()
    one_pass()
    seconds = perf_counter() - started
    return Run(name, {COST.name: seconds / N_ROWS * 1e6}, seconds)


def _ours(context: Context, vocab: SamplingVocab) -> Callable[[], None]:
    sampler = Sampler(PARAMS, vocab, seed=PARAMS.seed, prompt=())

    def one_pass() -> None:
        for row in context.logits():
            sampler.accept(sampler.sample(row))

    return one_pass


def _theirs(context: Context) -> Callable[[], None]:
    """The default chain as llama-server builds it, what is switched off left out; the draw accepts its token."""
    chain_params = C.llama_sampler_chain_default_params()
    chain_params.no_perf = True
    chain = C.llama_sampler_chain_init(chain_params)
    for sampler in (
        C.llama_sampler_init_top_k(PARAMS.top_k),
        C.llama_sampler_init_top_p(PARAMS.top_p, 0),
        C.llama_sampler_init_min_p(PARAMS.min_p, 0),
        C.llama_sampler_init_temp_ext(PARAMS.temperature, 0.0, 1.0),
        C.llama_sampler_init_dist(PARAMS.seed),
    ):
        C.llama_sampler_chain_add(chain, sampler)

    def one_pass() -> None:
        for index in range(N_ROWS):
            C.llama_sampler_sample(chain, context.handle, index)

    return one_pass
