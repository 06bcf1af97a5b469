"""llama.cpp's own chain over the full vocabulary, built as its common_sampler_init does: what Paddock must equal."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from backends.base import SamplingParams
from backends.llama_cpp import library
from backends.llama_cpp.sampling import Sampler
from backends.llama_cpp.sampling.candidates import TOKEN_DATA

Logits = npt.NDArray[np.float32]


def load_vocab(path: Path) -> int:
    """A `llama_model` without weights."""
    library.start(verbose=False)
    params = C.llama_model_default_params()
    params.vocab_only = True
    model = C.llama_model_load_from_file(str(path).encode(), params)
    assert model
    return model


def dry_sampler(params: SamplingParams, handle: int, n_past: int) -> int:
    breakers = [text.encode() for text in params.dry_sequence_breakers]
    array = (ctypes.c_char_p * len(breakers))(*breakers)
    last_n = n_past if params.dry_penalty_last_n < 0 else params.dry_penalty_last_n
    return C.llama_sampler_init_dry(
        handle, params.dry_multiplier, params.dry_base, params.dry_allowed_length, last_n, array, len(breakers)
    )


def penalties_sampler(params: SamplingParams, n_vocab: int, n_past: int) -> int:
    last_n = n_past if params.repeat_last_n < 0 else params.repeat_last_n
    return C.llama_sampler_init_penalties(
        n_vocab, last_n, params.repeat_penalty, params.frequency_penalty, params.presence_penalty
    )


class Reference:
    """Every token is a candidate, and every sampler is llama.cpp's. `n_past` bounds what -1 ("all tokens") can mean."""

    def __init__(
        self,
        params: SamplingParams,
        n_vocab: int,
        seed: int,
        prompt: Sequence[int] = (),
        *,
        handle: int | None = None,
        n_past: int = 10_000,
        names: Sequence[str] | None = None,
    ) -> None:
        """`names`: of the samplers, if not those of `params`; "cut" keeps the 256 best."""
        p, keep = params, params.min_keep
        self._ids = np.arange(n_vocab, dtype=np.int32)
        self._chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        if p.logit_bias:
            biases = (C.llama_logit_bias * len(p.logit_bias))(*p.logit_bias.items())
            self._add(C.llama_sampler_init_logit_bias(n_vocab, len(p.logit_bias), biases))
        if p.mirostat:
            self._add(C.llama_sampler_init_temp(p.temperature))
            if p.mirostat == 1:
                self._add(C.llama_sampler_init_mirostat(n_vocab, seed, p.mirostat_tau, p.mirostat_eta, 100))
            else:
                self._add(C.llama_sampler_init_mirostat_v2(seed, p.mirostat_tau, p.mirostat_eta))
        else:
            for name in p.samplers if names is None else names:
                match name:
                    case "penalties":
                        self._add(penalties_sampler(p, n_vocab, n_past))
                    case "dry" if handle:
                        self._add(dry_sampler(p, handle, n_past))
                    case "top_n_sigma":
                        self._add(C.llama_sampler_init_top_n_sigma(p.top_n_sigma))
                    case "top_k":
                        self._add(C.llama_sampler_init_top_k(p.top_k))
                    case "typ_p":
                        self._add(C.llama_sampler_init_typical(p.typical_p, keep))
                    case "top_p":
                        self._add(C.llama_sampler_init_top_p(p.top_p, keep))
                    case "min_p":
                        self._add(C.llama_sampler_init_min_p(p.min_p, keep))
                    case "xtc":
                        self._add(C.llama_sampler_init_xtc(p.xtc_probability, p.xtc_threshold, keep, seed))
                    case "infill" if handle:
                        self._add(C.llama_sampler_init_infill(handle))
                    case "cut":
                        self._add(C.llama_sampler_init_top_k(256))
                    case "temperature":
                        self._add(C.llama_sampler_init_temp_ext(p.temperature, p.dynatemp_range, p.dynatemp_exponent))
            if "adaptive_p" in p.samplers:
                self._add(C.llama_sampler_init_adaptive_p(p.adaptive_target, p.adaptive_decay, seed))
            else:
                self._add(C.llama_sampler_init_dist(seed))
        for token in prompt:
            self.accept(token)

    def sample(self, logits: Logits) -> int:
        array = apply(self._chain, self._ids, logits)
        return int(array.data[array.selected].id)

    def accept(self, token: int) -> None:
        C.llama_sampler_accept(self._chain, token)

    def __del__(self) -> None:
        C.llama_sampler_free(self._chain)

    def _add(self, sampler: int) -> None:
        C.llama_sampler_chain_add(self._chain, sampler)


def apply(sampler: int, ids: npt.NDArray[np.int32], logits: Logits) -> C.llama_token_data_array:
    """The candidate array after one C sampler (or chain). Its memory lives as long as the result."""
    memory = np.zeros(len(ids), TOKEN_DATA)
    memory["id"], memory["logit"] = ids, logits
    data = ctypes.cast(memory.ctypes.data, C.llama_token_data_p)
    array = C.llama_token_data_array(data=data, size=len(ids), selected=-1, sorted=False)
    array.memory = memory
    C.llama_sampler_apply(sampler, ctypes.byref(array))
    return array


def changed_logits(sampler: int, logits: Logits) -> Logits:
    """What a C sampler that neither drops nor reorders makes of a row."""
    array = apply(sampler, np.arange(len(logits), dtype=np.int32), logits)
    return array.memory["logit"].copy()


def model_like(rng: np.random.Generator, n: int, sharpness: float = 1.0) -> Logits:
    """Logits as language models give them: a few high ones, a long bell of others. No two alike."""
    bell = rng.normal(-2, 2.5, n)
    head = rng.choice(n, min(60, n), replace=False)
    bell[head] += sharpness * rng.exponential(6, len(head))
    logits = bell.astype(np.float32)
    while True:
        _, first = np.unique(logits, return_index=True)
        again = np.setdiff1d(np.arange(n), first)
        if not len(again):
            return logits
        logits[again] += rng.normal(0, 0.1, len(again)).astype(np.float32)


def draws(sampler: Sampler | Reference, rows: list[Logits]) -> list[int]:
    """What each chooses, one row after the other."""
    tokens = []
    for row in rows:
        tokens.append(sampler.sample(row))
        sampler.accept(tokens[-1])
    return tokens
