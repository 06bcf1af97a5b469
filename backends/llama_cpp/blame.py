"""Which request an engine has died of, and in what order requests go to the next one.

An engine may die of a request that it computes, or of none of them. So after a crash all that were in flight are sent
again, to a new engine. If that one dies too, those that both engines had begun to compute, and that haven't got PROOF
tokens in between, may be the cause. One that was alone in the engine is given up. Otherwise the next engine is sent the
requests one at a time, each when the one before has proven harmless: so it dies of the one that is the cause, if it
does, and that is given up.

Policy only: no process, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

PROOF = 8
"""Tokens from an engine after which it isn't expected to die of this request: what kills, does so again at once."""


class Candidate:
    """A request in flight, as far as it may be to blame."""

    def __init__(self) -> None:
        self.begun = False
        """Whether the engine that it was sent to computes it."""
        self.n_received = 0
        """Tokens that have come of it from that engine."""
        self.crashes = 0
        """Engines in a row that have died while they computed it, and before it was proven."""

    @property
    def proven(self) -> bool:
        return self.n_received >= PROOF


_C = TypeVar("_C", bound=Candidate)


class Dispatch(Generic[_C]):
    """Sends requests to the engine: as they come, or one by one if it dies of one of them."""

    def __init__(self, send: Callable[[_C], None]) -> None:
        self._send = send
        self._in_flight: dict[_C, None] = {}
        """By arrival."""
        self._sent: dict[_C, None] = {}
        self._held: deque[_C] = deque()
        """The others, in the order in which they will be sent."""
        self._open = False
        self.one_by_one = False
        """Whether each must prove harmless before the next is sent. Call `proceed` as tokens come."""

    def __len__(self) -> int:
        return len(self._in_flight)

    def add(self, request: _C) -> None:
        self._in_flight[request] = None
        self._held.append(request)
        self.proceed()

    def remove(self, request: _C) -> None:
        """It has ended. Does nothing if that is known."""
        if request in self._in_flight:
            del self._in_flight[request]
            if request in self._sent:
                del self._sent[request]
            else:
                self._held.remove(request)
            self.proceed()

    def open(self) -> None:
        """There is an engine."""
        self._open = True
        self.proceed()

    def proceed(self) -> None:
        """Send what may be sent."""
        while self._open and self._held and not (self.one_by_one and self._on_trial):
            request = self._held.popleft()
            self._sent[request] = None
            self._send(request)
        if self.one_by_one and not self._held and not self._on_trial:
            self.one_by_one = False

    @property
    def _on_trial(self) -> bool:
        return not all(request.proven for request in self._sent)

    def crashed(self) -> _C | None:
        """The engine is gone: all wait for the next one, but for the request that it died of, if that is known."""
        begun = [request for request in self._sent if request.begun or self.one_by_one] or list(self._sent)
        unproven = [request for request in begun if not request.proven]
        again = any(request.crashes for request in unproven)
        # An engine may also die of one that it hasn't begun yet: beside such a one nobody was alone.
        alone = len(unproven) == 1 and (self.one_by_one or len(self._sent) == 1)
        culprit = unproven.pop() if again and alone else None
        if culprit is None:
            for request in begun:
                request.crashes = 1 if request.proven else request.crashes + 1
            self.one_by_one |= again
        else:
            del self._in_flight[culprit]
            self.one_by_one = False
        # One by one, the likeliest comes first: the newest that was begun. What kills an engine does so when it comes.
        first = unproven[::-1] if self.one_by_one else []
        self._held = deque([*first, *(request for request in self._in_flight if request not in first)])
        self._sent.clear()
        self._open = False
        for request in self._held:
            request.begun, request.n_received = False, 0
        return culprit
