"""An engine process that some tokens kill: `backends.llama_cpp.engine_process`, but a batch that holds one ends it.

And one that can't compute some tokens: for llama_decode's failures.
"""

from __future__ import annotations

import os

from backends.llama_cpp import engine_process
from backends.llama_cpp.context import Context, Span

KILLS, FAILS = int(os.environ.get("KILLS", 1)), int(os.environ.get("FAILS", 2))
"""Tokens that the random-weight models never choose: control characters."""

_decode = Context.decode


def decode(context: Context, spans: list[Span]) -> int:
    tokens = {int(token) for span in spans for token in span.tokens}
    if KILLS in tokens:
        os.abort()
    return -3 if FAILS in tokens else _decode(context, spans)


if __name__ == "__main__":
    Context.decode = decode  # type: ignore[assignment, method-assign]  # what this process is for
    engine_process.main()
