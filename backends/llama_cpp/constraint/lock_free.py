"""Tokens taken without Python's lock.

`LLMatcher.consume_token` holds it (llguidance 1.9), and so does `LLExecutor.consume_token_par` with a single matcher;
with several it doesn't. That takes half a millisecond: for grammars at which others would wait for longer.
"""

from __future__ import annotations

import os

from llguidance import LLExecutor, LLMatcher, LLTokenizer

from backends.llama_cpp.grammar_limits import STACK

_THREADS = 2


class LockFree:
    def __init__(self, tokenizer: LLTokenizer) -> None:
        os.environ.setdefault("RUST_MIN_STACK", str(STACK))  # of the threads that llguidance starts here
        self._executor = LLExecutor(_THREADS)
        self._broken = LLMatcher(tokenizer, "start: nothing", log_level=0)
        """Takes no tokens: the other one."""

    def consume(self, matcher: LLMatcher, token: int) -> None:
        """As `LLMatcher.consume_token`. May be called by several threads, with one matcher each."""
        self._executor.consume_token_par([(matcher, token), (self._broken.deep_copy(), 0)])
