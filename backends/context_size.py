"""How large a context gets for what is asked of it: cells, sequence ids, rows of logits.

Whoever makes the context and whoever says beforehand what memory it takes go by the same rules.
"""

from __future__ import annotations

CELL_PADDING = 256
"""llama.cpp rounds the number of cells up to a multiple of it."""
MAX_IDS = 256
"""Sequence ids that llama.cpp can tell apart (LLAMA_MAX_SEQ)."""
MIN_OUTPUTS = 64
"""Rows of logits per batch there is always room for, so that scoring a prompt needn't go a few tokens at a time."""


def padded(n_ctx: int) -> int:
    """The cells of a context of so many tokens."""
    return -(-n_ctx // CELL_PADDING) * CELL_PADDING


def sequence_ids(n_parallel: int, *, whole_only: bool) -> int:
    """Sequences that a batch may name, and that states are kept for.

    One more than run at a time is scratch, as states can be saved from such ids only. Memory that keeps `whole_only`
    sequences (recurrent and hybrid models') also parks them among these.
    """
    return min(2 * n_parallel if whole_only else n_parallel + 1, MAX_IDS)


def output_rows(n_parallel: int, *, whole_only: bool, drafts: bool, least: int = MIN_OUTPUTS) -> int:
    """Rows of logits that a batch may ask for: one for each sequence id, which llama.cpp insists on, and as many as run
    at a time for their `drafts`, which memory that keeps whole sequences couldn't take back."""
    n_drafts = n_parallel if drafts and not whole_only else 0
    return max(least, sequence_ids(n_parallel, whole_only=whole_only) + n_drafts)
