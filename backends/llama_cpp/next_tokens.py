"""A sequence's next tokens, once those before them are computed: sampled, drafted and come true, or forced."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import repeat

from backends.base import FinishReason, TokenChunk, TokenLogprob

from .constraint import MaskRows
from .sampling import log_probabilities
from .sampling.arrays import Logits, Mask
from .sequence import MAX_FORCED, Sequence


def next_tokens(
    seq: Sequence, rows: Logits, drafts: tuple[int, ...], masks: MaskRows | None, ends: Collection[int]
) -> TokenChunk:
    """Extend the sequence, and say by what.

    `rows` [1 + drafts, n_vocab]: the logits behind its last token, and behind each of its drafts. As long as drafts
    come true, the row behind the next one can be sampled from. `masks` [rows or fewer, words]: which tokens its grammar
    allows there. `ends`: the tokens that end a text. Raises BrokenConstraint.
    """
    request = seq.request
    tokens: list[int] = []
    logprobs: list[TokenLogprob] | None = None if request.logprobs is None else []
    came_true: list[bool] | None = [] if request.prediction else None
    finish_reason: FinishReason | None = None
    stop_token = None
    n_accepted = 0

    def forced() -> int | None:
        return None if seq.constraint is None else seq.constraint.forced()

    def append(token: int, *, computed: bool) -> FinishReason | None:
        foretold = seq.append(token, computed=computed)
        tokens.append(token)
        if came_true is not None:
            came_true.append(foretold)
        if seq.constraint is not None and seq.constraint.ended:
            return "stop"
        return "length" if seq.n_generated >= seq.max_new else None

    each_mask: Iterator[Mask | None] = repeat(None)
    expected: tuple[int | None, ...] = (*drafts, None)
    if masks is not None:  # drafts that have none behind them aren't allowed, or end the text
        each_mask = iter(masks)
        expected = (*drafts[: len(masks) - 1], None)
    for row, mask, drafted in zip(rows, each_mask, expected, strict=False):
        if (token := forced()) is None:
            token = seq.sampler.sample(row, mask)
        if token in ends:
            finish_reason, stop_token = "stop", token
            break
        if logprobs is not None:
            logprobs.append(log_probabilities(row, token, request.logprobs or 0))
        finish_reason = append(token, computed=token == drafted)
        if token != drafted:
            break
        n_accepted += 1
        if finish_reason is not None:
            break
    # Others that have to follow need no logits, unless their probabilities are asked for.
    while finish_reason is None and logprobs is None and len(tokens) <= n_accepted + MAX_FORCED:
        if (token := forced()) is None:
            break
        if token in ends:
            finish_reason, stop_token = "stop", token
        else:
            finish_reason = append(token, computed=False)
    return TokenChunk(
        request.id, seq.index, tokens, logprobs, finish_reason, stop_token, came_true, len(drafts), n_accepted
    )
