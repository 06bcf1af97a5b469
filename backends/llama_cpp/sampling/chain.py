"""The chain that the candidates go through: runs of llama.cpp's own samplers, and ours between them.

Order and parameters are those of llama.cpp's `common_sampler_init` (common/sampling.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import llama_cpp.llama_cpp as C
import numpy as np

from backends.base import SamplingParams

from .candidates import Candidates
from .dry import Dry
from .penalties import RepeatPenalties
from .sparse import LateSparseSampler, SparseSampler
from .tfs_z import TailFree
from .vocab import SamplingVocab

Stage = Callable[[Candidates], None]

GREEDY_BELOW = 1e-5
"""Temperatures below are taken for 0: logits divided by them would overflow."""
MIROSTAT_M = 100
"""Candidates from which mirostat 1 estimates the distribution's slope, as in llama.cpp."""
MAX_INFILL = 256
"""The best candidates, which infill looks at: it compares each with each other. A whole vocabulary takes minutes."""


def active_samplers(params: SamplingParams) -> list[str]:
    """The samplers that do something, in order; the last one draws the token.

    Mirostat replaces all others but a plain temperature. adaptive-p draws in `dist`'s place wherever it is listed.
    """
    if params.mirostat:
        return [*(["plain_temperature"] if params.temperature != 1 else []), "mirostat"]
    does_something = {
        "penalties": RepeatPenalties.active(params),
        "dry": Dry.active(params),
        "top_n_sigma": params.top_n_sigma > 0,
        "top_k": params.top_k > 0,
        "tfs_z": params.tfs_z < 1,
        "typ_p": params.typical_p < 1,
        "top_p": params.top_p < 1,
        "min_p": params.min_p > 0,
        "xtc": params.xtc_probability > 0 and params.xtc_threshold <= 0.5,
        "temperature": params.temperature != 1 or params.dynatemp_range > 0,
        "infill": True,
    }
    active = [name for name in params.samplers if does_something.get(name)]
    return [*active, "adaptive_p" if "adaptive_p" in params.samplers else "dist"]


def always_takes_the_best(order: Sequence[str], params: SamplingParams) -> bool:
    """Whether the chain can only choose the token with the highest logit: no draw, no chain needed."""
    for name in order:
        if name == "plain_temperature" or (name == "temperature" and params.dynatemp_range <= 0):
            if params.temperature < GREEDY_BELOW:
                return True
        elif name == "top_k" and params.top_k == 1:
            return True
        elif name not in ("top_k", "top_p", "min_p", "top_n_sigma", "tfs_z"):
            return False  # the others may drop the best one, put an end in its place, or draw
    return False


class Chain:
    """Runs the stages over the candidates. Owns llama.cpp's samplers; `close` frees them."""

    def __init__(
        self,
        order: Sequence[str],
        params: SamplingParams,
        vocab: SamplingVocab,
        seed: int,
        sparse: Mapping[str, SparseSampler],
    ) -> None:
        self._runs: list[int] = []
        self._stages: list[Stage] = []
        self._advances: list[tuple[int, int]] = []
        """Samplers with a random sequence of their own, and the fewest candidates that make them draw from it."""
        self._adapts = "adaptive_p" in order
        run: int | None = None
        for name in order:
            if name in sparse:
                self._stages.append(LateSparseSampler(sparse[name]))
                run = None
            elif name == "tfs_z":
                self._stages.append(TailFree(params.tfs_z, params.min_keep))
                run = None
            elif name != "infill" or vocab.can_infill:
                if name == "typ_p":
                    self._stages.append(drop_the_impossible)
                    run = None
                if run is None:
                    run = self._new_run()
                if name == "infill":
                    C.llama_sampler_chain_add(run, C.llama_sampler_init_top_k(MAX_INFILL))
                sampler = _c_sampler(name, params, vocab, seed)
                C.llama_sampler_chain_add(run, sampler)
                if name in ("xtc", "dist"):
                    self._advances.append((sampler, 2 if name == "xtc" else 1))

    def choose(self, candidates: Candidates) -> int:
        """Run all stages; the token that the last one draws."""
        for stage in self._stages:
            stage(candidates)
        return candidates.chosen()

    def accept(self, token: int) -> None:
        """Adaptive-p learns from the chosen token; llama.cpp's other samplers here keep nothing."""
        if self._adapts:
            C.llama_sampler_accept(self._runs[-1], token)

    def skip_draw(self, candidates: Candidates) -> None:
        """Advance the random sequences of `dist` and XTC as one call of `choose` does."""
        two = np.zeros(2, np.int32), np.zeros(2, np.float32)
        for sampler, n in self._advances:
            candidates.load(two[0][:n], two[1][:n])
            C.llama_sampler_apply(sampler, candidates.pointer)

    def close(self) -> None:
        for run in self._runs:
            C.llama_sampler_free(run)
        self._runs.clear()
        self._stages.clear()
        self._advances.clear()

    def _new_run(self) -> int:
        chain_params = C.llama_sampler_chain_default_params()
        chain_params.no_perf = True
        run: int = C.llama_sampler_chain_init(chain_params)

        def apply(candidates: Candidates) -> None:
            C.llama_sampler_apply(run, candidates.pointer)

        self._runs.append(run)
        self._stages.append(apply)
        return run


def drop_the_impossible(candidates: Candidates) -> None:
    """Before typical_p: its entropy is NaN, and what it keeps arbitrary, if a probability rounds to 0."""
    entries = candidates.entries
    logits = entries["logit"]
    possible = logits >= logits.max() - 80  # less than 1e-34 of the best one's probability
    if not possible.all():
        candidates.replace(entries[possible], in_order=candidates.in_order)


def _c_sampler(name: str, params: SamplingParams, vocab: SamplingVocab, seed: int) -> int:
    temperature = params.temperature if params.temperature >= GREEDY_BELOW else 0.0
    keep = params.min_keep
    tau, eta = params.mirostat_tau, params.mirostat_eta
    sampler: int
    match name:
        case "top_n_sigma":
            sampler = C.llama_sampler_init_top_n_sigma(params.top_n_sigma)
        case "top_k":
            sampler = C.llama_sampler_init_top_k(params.top_k)
        case "typ_p":
            sampler = C.llama_sampler_init_typical(params.typical_p, keep)
        case "top_p":
            sampler = C.llama_sampler_init_top_p(params.top_p, keep)
        case "min_p":
            sampler = C.llama_sampler_init_min_p(params.min_p, keep)
        case "xtc":
            sampler = C.llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, keep, seed)
        case "temperature":
            sampler = C.llama_sampler_init_temp_ext(temperature, params.dynatemp_range, params.dynatemp_exponent)
        case "infill":
            sampler = C.llama_sampler_init_infill(vocab.handle)
        case "plain_temperature":
            sampler = C.llama_sampler_init_temp(temperature)
        case "mirostat" if params.mirostat == 1:
            sampler = C.llama_sampler_init_mirostat(vocab.n_vocab, seed, tau, eta, MIROSTAT_M)
        case "mirostat":
            sampler = C.llama_sampler_init_mirostat_v2(seed, tau, eta)
        case "adaptive_p":
            sampler = C.llama_sampler_init_adaptive_p(params.adaptive_target, params.adaptive_decay, seed)
        case _:
            sampler = C.llama_sampler_init_dist(seed)
    return sampler
