"""What `llama_cpp.Llama` gives greedily for a GGUF, and when another run may differ from it.

Two correct runs part only where the best logits lie closer together than the kernels' noise: each of the two may
have moved by that much, so a token is accepted up to twice the noise below the best. After an accepted parting the
reference is computed anew from there, so that every token is checked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from tests.models.kernel_noise import kernel_noise

__all__ = ["Reference", "assert_same_greedy", "greedy", "kernel_noise"]


@dataclass(frozen=True)
class Reference:
    """A greedy run. An end-of-generation token ends it and is not among `tokens`."""

    path: Path
    prompt: list[int]
    tokens: list[int]
    logits: np.ndarray
    """One row per step: those that `tokens[step]` (or the end) was chosen from."""
    limit: int
    """How many tokens were asked for."""
    options: dict[str, Any]

    @property
    def ended(self) -> bool:
        return len(self.tokens) < self.limit

    @property
    def gaps(self) -> np.ndarray:
        """Per step: how far the best logit lies above the second."""
        best = np.partition(self.logits, -2, axis=1)[:, -2:]
        return best[:, 1] - best[:, 0]

    def after(self, tokens: Sequence[int]) -> Reference:
        """The same run, but with these tokens generated first."""
        rest = greedy(self.path, [*self.prompt, *tokens], self.limit - len(tokens), **self.options)
        logits = np.concatenate([self.logits[: len(tokens)], rest.logits])
        return Reference(self.path, self.prompt, [*tokens, *rest.tokens], logits, self.limit, self.options)


@cache
def _llama(path: Path, n_ctx: int, flash_attn: bool, cache_type: int) -> llama_cpp.Llama:
    return llama_cpp.Llama(
        str(path),
        n_ctx=n_ctx,
        n_threads=1,
        n_threads_batch=1,
        flash_attn=flash_attn,
        type_k=cache_type,
        type_v=cache_type,
        verbose=False,
    )


def greedy(
    path: Path,
    prompt: Sequence[int],
    n_tokens: int,
    *,
    n_ctx: int = 2048,
    flash_attn: bool = False,
    cache_type: int = llama_cpp.GGML_TYPE_F16,
) -> Reference:
    """What `llama_cpp.Llama` generates at temperature 0, with its own defaults."""
    llama = _llama(path, n_ctx, flash_attn, cache_type)
    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    llama.reset()  # type: ignore[no-untyped-call]
    tokens: list[int] = []
    rows: list[np.ndarray] = []
    if n_tokens > 0:
        for token in llama.generate(list(prompt), temp=0.0, reset=False):
            pointer = ctypes.cast(llama_cpp.llama_get_logits_ith(llama.ctx, -1), ctypes.POINTER(ctypes.c_float))
            rows.append(np.ctypeslib.as_array(pointer, (llama.n_vocab(),)).copy())
            if llama_cpp.llama_vocab_is_eog(vocab, token):
                break
            tokens.append(token)
            if len(tokens) == n_tokens:
                break
    options: dict[str, Any] = {"n_ctx": n_ctx, "flash_attn": flash_attn, "cache_type": cache_type}
    logits = np.array(rows) if rows else np.empty((0, llama.n_vocab()), np.float32)
    return Reference(path, list(prompt), tokens, logits, n_tokens, options)


def assert_same_greedy(ours: Sequence[int], reference: Reference, noise: float) -> int:
    """Check a run's tokens against the reference; how often they parted within the noise.

    `ours` may be cut short only where the reference ended or could have.
    """
    partings = 0
    ours = list(ours)
    while True:
        step = next((i for i, pair in enumerate(zip(ours, reference.tokens, strict=False)) if pair[0] != pair[1]), None)
        if step is None:
            break
        row = reference.logits[step]
        short = float(row.max() - row[ours[step]])
        assert short <= 2 * noise, (
            f"token {step} is {ours[step]}, the reference's is {reference.tokens[step]}: "
            f"its logit lies {short:.2g} lower, more than twice the kernel noise of {noise:.2g}"
        )
        partings += 1
        reference = reference.after(ours[: step + 1])
    assert len(ours) == len(reference.tokens), f"{len(ours)} tokens, the reference has {len(reference.tokens)}"
    return partings
