"""One sequence's place in its grammar."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

MaskRows = npt.NDArray[np.uint32]
"""[positions, ceil(n_vocab / 32)]: bit t % 32 of word t // 32 says whether token t may come."""

MAX_FORCED_BYTES = 4096
"""Forced text beyond this is sampled token by token: llama.cpp's tokenizer recurses by the length of the text."""


class BrokenConstraint(Exception):
    """The grammar can't be followed any further; the message says why."""


class Constraint:
    """Told every token. Used by one thread at a time, which may be another one for `masks`."""

    def __init__(self, matcher: LLMatcher, n_vocab: int) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._forced: deque[int] = deque()
        self._looked = False
        """Whether `_forced` is what follows the last token."""

    @property
    def ended(self) -> bool:
        """Whether nothing may follow but the end of the text."""
        return bool(self._matcher.is_stopped())

    def accept(self, token: int) -> None:
        """The next token of the text. Raises BrokenConstraint, also if it isn't allowed."""
        self._matcher.consume_token(token)
        self._check()
        if self._forced and self._forced.popleft() != token:
            self._forced.clear()
        self._looked = bool(self._forced)

    def forced(self) -> int | None:
        """The next token, if there is only one way to go on: as the tokenizer would cut it. Raises BrokenConstraint."""
        if not self._looked:
            self._looked = True
            if 0 < len(self._matcher.compute_ff_bytes()) <= MAX_FORCED_BYTES:
                self._forced.extend(self._matcher.compute_ff_tokens())
            self._check()
        return self._forced[0] if self._forced else None

    def masks(self, drafts: Iterable[int] = ()) -> MaskRows:
        """Which tokens may come next, and then after each of the drafts, as far as they are allowed themselves.

        Takes a tenth of a millisecond, a thousand times that if a grammar is made for it; Python's lock isn't held.
        """
        rows = [self._mask(self._matcher)]
        ahead: LLMatcher | None = None
        for token in drafts:
            if ahead is None:  # a copy: taking tokens back (`rollback`, llguidance 1.9) can leave a matcher elsewhere
                ahead = self._matcher.deep_copy()
            if not ahead.validate_tokens([token]):
                break
            ahead.consume_token(token)
            if ahead.is_stopped():
                break
            rows.append(self._mask(ahead))
        self._check()
        return np.stack(rows)

    def _mask(self, matcher: LLMatcher) -> MaskRows:
        mask = np.zeros((self._n_vocab + 31) // 32, np.uint32)
        matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        return mask

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().splitlines()[0]
            raise BrokenConstraint(f"the output's grammar can't be followed: {reason}")
