"""How well a model foresees a text: perplexity, by the definition of llama.cpp's llama-perplexity.

The text's tokens are cut into chunks as long as the context. Each chunk is computed by itself, beginning with BOS in
place of its first token if the vocabulary adds one; the tokens of its second half are scored, so that each has at least
half a context before it. Perplexity is e to the mean negative log-likelihood of the scored tokens.

With a base model, the same chunks are computed by it too, and the two distributions compared token by token.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence

import llama_cpp.llama_cpp as C
import msgspec
import numpy as np
import numpy.typing as npt

from backends.engine_options import EngineOptions

from .context import Context, Span
from .job import JobFailed, Report, run_job
from .model import Model, check_gguf
from .threads import default_threads
from .vocab import Vocabulary, stack_for

MODULE = "backends.llama_cpp.perplexity_process"
MOST_LOGITS = 256 << 20
"""Bytes of logits that a batch may give."""
SCORED_ROWS = 64
"""Rows of logits looked at together: what is made of them takes memory."""

Logits = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]


class PerplexityOrder(msgspec.Struct, frozen=True, kw_only=True, tag="perplexity_order"):
    """`options.n_ctx` is a chunk's length."""

    options: EngineOptions
    text: bytes
    """UTF-8."""
    n_chunks: int = -1
    """How many of the text's chunks; -1: all."""
    base_model: str | None = None
    """The GGUF to compare with."""


class Estimate(msgspec.Struct, frozen=True):
    value: float
    error: float
    """Standard error."""


class Divergence(msgspec.Struct, frozen=True):
    """How far the model's distributions are from the base model's."""

    base_perplexity: Estimate
    ratio: Estimate
    """Of the perplexities: the model's over the base model's, the error from the pairs."""
    kl: Estimate
    """Mean Kullback-Leibler divergence from the base model's distribution, in nats."""
    kl_99: float
    """Its 99th percentile."""
    same_top: float
    """Share of the scored tokens for which both find the same token the most likely."""


class Perplexity(msgspec.Struct, frozen=True, tag="perplexity"):
    perplexity: Estimate
    n_chunks: int
    n_ctx: int
    n_tokens: int
    """Computed."""
    n_scored: int
    tokens_per_second: float
    """By the model alone, without scoring and without the base model."""
    divergence: Divergence | None = None


def perplexity(order: PerplexityOrder, report: Report = lambda _done, _total: None) -> Perplexity:
    """Measure in a process of its own. `report`: tokens. Raises JobFailed."""
    return run_job(MODULE, order, Perplexity, report)


def perplexity_here(order: PerplexityOrder, report: Report) -> Perplexity:
    """The same in this process. Raises JobFailed, or ModelLoadError."""
    options = order.options
    n_ctx = options.n_ctx
    check_gguf(options.model_path)
    tokens = _tokens(options.model_path, order.text)
    chunks = _chunks(tokens, n_ctx, order.n_chunks)  # first: a context of more than the text may be more than memory
    reader = _Reader(options)
    base = _base_reader(order, reader, tokens) if order.base_model is not None else None
    losses: list[Numbers] = []
    comparison = _Comparison()
    for i, chunk in enumerate(chunks):
        report(i * n_ctx, len(chunks) * n_ctx)
        rows = reader.second_half(chunk)
        if base is None:
            losses += [-_of_expected(_log_softmax(logits), expected) for expected, logits in rows]
            continue
        for (expected, logits), (_, base_logits) in zip(rows, base.second_half(chunk), strict=True):
            log_p = _log_softmax(logits)
            losses.append(-_of_expected(log_p, expected))
            comparison.add(log_p, _log_softmax(base_logits), expected)
    report(len(chunks) * n_ctx, len(chunks) * n_ctx)
    loss = np.concatenate(losses)
    return Perplexity(
        perplexity=_exp_of_mean(loss),
        n_chunks=len(chunks),
        n_ctx=n_ctx,
        n_tokens=reader.n_tokens,
        n_scored=len(loss),
        tokens_per_second=reader.n_tokens / max(reader.seconds, 1e-9),
        divergence=comparison.summary(loss) if base is not None else None,
    )


class _Reader:
    """A model that reads chunks."""

    def __init__(self, options: EngineOptions) -> None:
        self.model = model = Model(options, lambda _fraction: None)
        if not model.has_decoder or model.has_encoder:
            raise JobFailed(f"{options.model_path} is not a model that continues a text token by token")
        n_outputs = min(options.n_ctx - options.n_ctx // 2, MOST_LOGITS // (4 * model.n_vocab))
        self._context = Context(model, options, options.n_ctx, options.n_threads or default_threads(), n_outputs)
        if not self._context.remembers:
            raise JobFailed(f"{options.model_path} is not a model that continues a text token by token")
        self._bos = int(C.llama_vocab_bos(model.vocab)) if C.llama_vocab_get_add_bos(model.vocab) else None
        self.n_tokens = 0
        self.seconds = 0.0

    def second_half(self, chunk: Sequence[int]) -> Iterator[tuple[npt.NDArray[np.int64], Logits]]:
        """Scored tokens, and the logits [tokens, n_vocab] that foresee each; valid until the next."""
        tokens = np.array(chunk)
        if self._bos is not None:
            tokens[0] = self._bos
        n, first = len(tokens) - 1, len(tokens) // 2  # nothing follows the last token
        self._context.remove(0, -1, -1)
        start = 0
        while start < n:
            end = min(start + self._context.n_batch, max(start, first) + self._context.n_outputs, n)
            self._decode(tokens[start:end], start, n_outputs=max(0, end - max(start, first)))
            logits = self._context.logits()
            for row in range(0, len(logits), SCORED_ROWS):
                rows = logits[row : row + SCORED_ROWS]
                foreseen = end - len(logits) + row + 1
                yield tokens[foreseen : foreseen + len(rows)], rows
            start = end

    def _decode(self, tokens: npt.NDArray[np.int64], start: int, n_outputs: int) -> None:
        began = time.perf_counter()
        status = self._context.decode([Span(0, tokens.tolist(), start, n_outputs)])
        self.seconds += time.perf_counter() - began
        self.n_tokens += len(tokens)
        if status:
            raise JobFailed(f"{self.model.path}: llama_decode returned {status}")


class _Comparison:
    """Two models' distributions, token by token."""

    def __init__(self) -> None:
        self._base_losses: list[Numbers] = []
        self._kl: list[Numbers] = []
        self._n_same_top = 0

    def add(self, log_p: Numbers, base_log_p: Numbers, expected: npt.NDArray[np.int64]) -> None:
        self._base_losses.append(-_of_expected(base_log_p, expected))
        kl = (np.exp(base_log_p) * (base_log_p - log_p)).sum(axis=1)
        self._kl.append(np.maximum(kl, 0))  # rounding makes some a little negative
        self._n_same_top += int((log_p.argmax(axis=1) == base_log_p.argmax(axis=1)).sum())

    def summary(self, loss: Numbers) -> Divergence:
        base_loss, kl = np.concatenate(self._base_losses), np.concatenate(self._kl)
        return Divergence(
            base_perplexity=_exp_of_mean(base_loss),
            ratio=_exp_of_mean(loss - base_loss),
            kl=Estimate(float(kl.mean()), _error_of_mean(kl)),
            kl_99=float(np.quantile(kl, 0.99)),
            same_top=self._n_same_top / len(kl),
        )


def _base_reader(order: PerplexityOrder, reader: _Reader, tokens: list[int]) -> _Reader:
    assert order.base_model is not None
    base = _Reader(msgspec.structs.replace(order.options, model_path=order.base_model))
    if base.model.n_vocab != reader.model.n_vocab or _tokens(order.base_model, order.text) != tokens:
        raise JobFailed(f"{order.base_model} can't be compared with: its vocabulary is another one")
    return base


def _tokens(path: str, text: bytes) -> list[int]:
    vocabulary = Vocabulary(path)
    found: list[list[int]] = []
    previous = threading.stack_size(stack_for(len(text)))
    try:
        thread = threading.Thread(
            target=lambda: found.append(vocabulary.tokenize(text, add_special=True, parse_special=False))
        )
        thread.start()
        thread.join()
    except (RuntimeError, MemoryError):
        pass
    finally:
        threading.stack_size(previous)
    if not found:
        raise JobFailed("the text can't be tokenized on this machine: give less of it")
    return found[0]


def _chunks(tokens: Sequence[int], n_ctx: int, most: int) -> list[Sequence[int]]:
    n_chunks = len(tokens) // n_ctx
    if n_chunks == 0:
        raise JobFailed(f"the text has {len(tokens)} tokens, and a chunk {n_ctx}: give more text, or a smaller -c")
    if most >= 0:
        n_chunks = min(n_chunks, most)
    return [tokens[i * n_ctx : (i + 1) * n_ctx] for i in range(n_chunks)]


def _log_softmax(logits: Logits) -> Numbers:
    """Natural logarithms of probabilities, of each row."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _of_expected(log_p: Numbers, expected: npt.NDArray[np.int64]) -> Numbers:
    found: Numbers = log_p[np.arange(len(expected)), expected]
    return found


def _exp_of_mean(values: Numbers) -> Estimate:
    mean = math.exp(values.mean())
    return Estimate(mean, mean * _error_of_mean(values))


def _error_of_mean(values: Numbers) -> float:
    return float(values.std() / math.sqrt(max(1, len(values) - 1)))
