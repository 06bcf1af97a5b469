"""Grammars, tried and compiled once, in threads, and kept; and the tokenizer that they are compiled for."""

from __future__ import annotations

import ctypes
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import Any

import llama_cpp.llama_cpp as C
from llguidance import LLMatcher, LLTokenizer

from backends.llama_cpp.grammar_limits import LIMITS
from backends.llama_cpp.vocab import pieces

from .constraint import Constraint
from .deep_threads import deep_threads
from .lock_free import LockFree
from .trial import NotCompiled, Trials

KEPT = 64
"""Grammars, the last used."""
REFUSED_FOR = 60.0
"""Seconds that a grammar counts as one that can't be compiled, if that may be otherwise another time: so long, those
who ask for it again and again keep nobody else from compiling theirs."""
MAX_REASON = 300
"""Characters of llguidance's error, which may quote all of the grammar."""
_PLACE = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?")
"""In a text that no client has seen."""


class Grammars:
    """Compiled in the background, so that a new one holds up nobody else."""

    def __init__(self, vocab: int, ends: Sequence[int], seconds: float) -> None:
        """`vocab`: a `llama_vocab`, which must outlive this; `ends`: its end-of-generation tokens; `seconds`: what
        compiling may take."""
        self._vocab = vocab
        self._n_vocab = int(C.llama_vocab_n_tokens(vocab))
        self._ends = list(ends)
        self._threads = deep_threads(2, "grammars")
        self._trials = Trials(seconds)
        self._compiled: OrderedDict[str, Future[LLMatcher]] = OrderedDict()

    def prepare(self) -> None:
        """Make the tokenizer, in the background: up to a second of work for a large vocabulary, some of it with
        Python's lock held. Hence while there is nothing else to do; otherwise the first grammar waits for it."""
        _ = self._tokenizer

    def compile(self, grammar: str, *, tried: bool = False) -> Future[LLMatcher]:
        """The grammar, for `constraint`; a ValueError in the future says what is wrong with it. `tried`: it has been
        compiled before, by an engine that was there before this one."""
        if (known := self._compiled.get(grammar)) is None or _outdated(known):
            self._compiled[grammar] = self._threads.submit(self._compile, self._tokenizer, grammar, tried)
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(grammar)
        return self._compiled[grammar]

    def abandon(self, grammar: str) -> None:
        """Nobody waits for it: don't begin to compile it."""
        if (job := self._compiled.get(grammar)) is not None and job.cancel():
            del self._compiled[grammar]

    def constraint(self, compiled: LLMatcher) -> Constraint:
        """At the grammar's beginning."""
        return Constraint(compiled.deep_copy(), self._n_vocab, self._lock_free)

    @cached_property
    def _tokenizer(self) -> Future[LLTokenizer]:
        return self._threads.submit(_tokenizer, self._vocab, self._n_vocab, self._ends)

    @cached_property
    def _lock_free(self) -> LockFree:
        return LockFree(self._tokenizer.result())

    def _compile(self, tokenizer: Future[LLTokenizer], grammar: str, tried: bool) -> LLMatcher:
        try:
            if not tried:
                self._trials.run(grammar, self._n_vocab)
            matcher = LLMatcher(tokenizer.result(), grammar, log_level=0, limits=LIMITS)
            if matcher.is_error():
                raise ValueError(matcher.get_error())
        except NotCompiled as error:
            raise _Refused(_reason(error)) from None
        except ValueError as error:
            raise ValueError(_reason(error)) from None
        return matcher


class _Refused(ValueError):
    """For now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.until = time.monotonic() + REFUSED_FOR


def _outdated(known: Future[LLMatcher]) -> bool:
    """Whether it was refused for a time that is over."""
    error = known.exception() if known.done() else None
    return isinstance(error, _Refused) and time.monotonic() >= error.until


def _reason(error: ValueError) -> str:
    """Fit for a client."""
    return "the output's grammar can't be used: " + _PLACE.sub("", str(error).partition("\n")[0])[:MAX_REASON]


def _tokenizer(vocab: int, n_vocab: int, ends: list[int]) -> LLTokenizer:
    """llguidance marks tokens that a grammar can only name with a byte that no text has."""
    tokens = pieces(vocab, range(n_vocab))
    for token in range(n_vocab):
        if C.llama_vocab_get_attr(vocab, token) & C.LLAMA_TOKEN_ATTR_CONTROL:
            tokens[token] = b"\xff" + tokens[token]
    tokenize = ctypes.cast(C._lib.llama_tokenize, ctypes.c_void_p).value
    make: Any = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]  # missing from llguidance's stubs
    tokenizer: LLTokenizer = make(tokens=tokens, vocab_ptr=vocab, tokenize_fptr=tokenize, eos_token=ends)
    return tokenizer
