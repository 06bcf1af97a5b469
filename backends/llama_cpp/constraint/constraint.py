"""One sequence's place in its grammar."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from .lock_free import LockFree

MaskRows = npt.NDArray[np.uint32]
"""[positions, ceil(n_vocab / 32)]: bit t % 32 of word t // 32 says whether token t may come."""

MAX_FORCED_BYTES = 4096
"""Forced text beyond this is sampled token by token: llama.cpp's tokenizer recurses by the length of the text."""
SLOW = 0.005
"""Seconds of work for a token; a usual grammar's are a hundredth of it."""
SLOW_TOKENS = 3
"""Of which so many show that a grammar is very ambiguous."""


class BrokenConstraint(Exception):
    """The grammar can't be followed any further; the message says why."""


class Constraint:
    """Told every token. Used by one thread at a time, which may be another one for `masks`.

    llguidance takes tokens, and finds what is forced, holding Python's lock. In a very ambiguous grammar that comes to
    take tenths of a second; where it is slow, tokens only wait here until `masks` takes them, in a thread and
    without the lock. What is forced shows in its masks then (each has one token), and so does the end.
    """

    def __init__(self, matcher: LLMatcher, n_vocab: int, lock_free: LockFree) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._lock_free = lock_free
        self._n_slow = 0
        self._untaken: list[int] = []
        """Tokens that `masks` is to take first."""
        self._forced: deque[int] = deque()
        self._looked = False
        """Whether `_forced` is what follows the last token."""

    @property
    def ended(self) -> bool:
        """Whether it is known that nothing may follow but the end of the text."""
        return not self._slow and bool(self._matcher.is_stopped())

    def accept(self, token: int) -> None:
        """The next token of the text. Raises BrokenConstraint, also if it isn't allowed."""
        if self._forced and self._forced.popleft() != token:
            self._forced.clear()
        self._looked = bool(self._forced)
        if self._slow:
            self._untaken.append(token)
            return
        started = time.thread_time()
        self._matcher.consume_token(token)
        self._check()
        self._time(started)

    def forced(self) -> int | None:
        """The next token, if it is known that there is only one way to go on: as the tokenizer would cut it. Raises
        BrokenConstraint."""
        if not self._looked and not self._slow:
            started = time.thread_time()
            self._looked = True
            if 0 < len(self._matcher.compute_ff_bytes()) <= MAX_FORCED_BYTES:
                self._forced.extend(self._matcher.compute_ff_tokens())
            self._check()
            self._time(started)
        return self._forced[0] if self._forced else None

    def masks(self, drafts: Iterable[int] = ()) -> MaskRows:
        """Which tokens may come next, and then after each of the drafts, as far as they are allowed themselves.

        Takes a tenth of a millisecond, a thousand times that if a grammar is made for it; Python's lock isn't held.
        """
        while self._untaken:
            self._lock_free.consume(self._matcher, self._untaken[0])
            del self._untaken[0]
        self._check()
        rows = [self._mask(self._matcher)]
        ahead: LLMatcher | None = None
        for token in drafts:
            if self._slow or not _allows(rows[-1], token):
                break
            started = time.thread_time()
            if ahead is None:  # a copy: taking tokens back (`rollback`, llguidance 1.9) can leave a matcher elsewhere
                ahead = self._matcher.deep_copy()
            ahead.consume_token(token)
            self._time(started)
            if ahead.is_stopped():
                break
            rows.append(self._mask(ahead))
        self._check()
        return np.stack(rows)

    def _mask(self, matcher: LLMatcher) -> MaskRows:
        mask = np.zeros((self._n_vocab + 31) // 32, np.uint32)
        matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        return mask

    @property
    def _slow(self) -> bool:
        return self._n_slow >= SLOW_TOKENS

    def _time(self, started: float) -> None:
        self._n_slow += time.thread_time() - started > SLOW

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().splitlines()[0]
            raise BrokenConstraint(f"the output's grammar can't be followed: {reason}")


def _allows(mask: MaskRows, token: int) -> bool:
    return bool(mask[token // 32] >> np.uint32(token % 32) & 1)
