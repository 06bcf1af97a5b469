"""The `main()` of the process in which grammars are tried (`constraint/trial.py`): it does what it is told, or dies."""

from __future__ import annotations

import resource
import signal
import sys
import threading
from contextlib import suppress
from functools import cache
from typing import ClassVar

import msgspec
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from .channel import Channel
from .grammar_limits import LIMITS, MOST_MEMORY, STACK

N_BEGUN = 16
"""Bytes that a grammar begins with which are tried too."""
_NAMED = b"\xff"
"""What tokens begin with that can only be named."""


class Trial(msgspec.Struct, frozen=True, tag="trial"):
    grammar: str
    n_vocab: int
    """Grammars may name tokens by their number."""
    seconds: float
    """The processor's, not the clock's: how long a trial takes doesn't depend on who else has work to do."""


class Verdict(msgspec.Struct, frozen=True, tag="verdict"):
    reason: str | None
    """Why the grammar can't be compiled; None: it can."""


def main() -> None:
    """Run as `python -m backends.llama_cpp.grammar_trial_process FD`, until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the API process decides when all end
        signal.signal(number, signal.SIG_IGN)
    with suppress(ValueError, OSError):  # where there is no such limit (macOS), the parent's deadline is left
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    channel: Channel[Trial] = Channel.from_fd(int(sys.argv[1]), Trial)
    threading.stack_size(STACK)
    thread = threading.Thread(target=_serve, args=(channel,))
    thread.start()
    thread.join()


def _serve(channel: Channel[Trial]) -> None:
    with suppress(ConnectionError):
        while (trial := channel.receive()) is not None:
            tokenizer = _tokenizer(trial.n_vocab)
            signal.setitimer(signal.ITIMER_PROF, trial.seconds)  # its signal ends the process
            matcher = LLMatcher(tokenizer, trial.grammar, log_level=0, limits=LIMITS)
            if not matcher.is_error():
                _begin(matcher)
            signal.setitimer(signal.ITIMER_PROF, 0)
            channel.send(Verdict(matcher.get_error() or None))


def _begin(matcher: LLMatcher) -> None:
    """Some grammars allow nothing at all, or too much at once: that shows only here."""
    matcher.compute_bitmask()
    for byte in matcher.compute_ff_bytes().partition(_NAMED)[0][:N_BEGUN]:
        matcher.consume_token(byte)


@cache
def _tokenizer(n_vocab: int) -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Bytes(n_vocab)))


class _Bytes:
    """A vocabulary of the same size, of single bytes and of tokens that can only be named."""

    bos_token_id = None
    eos_token_id = 256
    unk_token_id = None
    special_token_ids: ClassVar[list[int]] = []

    def __init__(self, n_vocab: int) -> None:
        self.tokens = [bytes([i]) for i in range(256)]
        self.tokens += [_NAMED + b"<%d>" % i for i in range(256, max(n_vocab, 257))]

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


if __name__ == "__main__":
    main()
