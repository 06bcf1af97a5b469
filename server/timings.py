"""How long a request took, as llama-server's `timings` object tells it.

Measured where the client feels it, in the API process; the time that a request waits for a place in the batch is apart.
"""

from __future__ import annotations

import time


class Timings:
    """Milestones of one request; seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.started = self._now()
        self.prompt_ended: float | None = None
        self.last_token: float | None = None
        self.prompt_n = 0
        """Prompt tokens computed, the cached ones apart."""
        self.cache_n = 0
        self.queued = 0.0
        self.predicted_n = 0
        self.draft_n = self.draft_n_accepted = 0
        """Tokens drafted (speculative decoding), and those that came true."""

    _now = staticmethod(time.monotonic)

    def start(self) -> None:
        """The request is sent to the engine."""
        self.started = self._now()

    def prompt_done(self, computed: int, cached: int, queued: float) -> None:
        """The prompt's last token is computed; `queued` seconds it had to wait first."""
        self.prompt_n, self.cache_n, self.queued = computed, cached, queued
        self.prompt_ended = self._now()

    def predicted(self, tokens: int) -> None:
        """`tokens` more have been generated, over all choices."""
        if tokens:
            self.predicted_n += tokens
            self.last_token = self._now()
            if self.prompt_ended is None:
                self.prompt_ended = self.last_token

    def drafted(self, tokens: int, accepted: int) -> None:
        """`tokens` were drafted, of which `accepted` came true."""
        self.draft_n += tokens
        self.draft_n_accepted += accepted

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds; None while the prompt is being computed."""
        return None if self.prompt_ended is None else self.prompt_ended - self.started

    def as_dict(self) -> dict[str, float]:
        """llama-server's object: milliseconds, and tokens per second."""
        prompt_end = self._now() if self.prompt_ended is None else self.prompt_ended
        prompt_ms = max(prompt_end - self.started - self.queued, 0.0) * 1000
        predicted_ms = (self.last_token - prompt_end) * 1000 if self.last_token is not None else 0.0
        drafts = {"draft_n": self.draft_n, "draft_n_accepted": self.draft_n_accepted} if self.draft_n else {}
        return {
            "cache_n": self.cache_n,
            "prompt_n": self.prompt_n,
            "prompt_ms": prompt_ms,
            "prompt_per_token_ms": _ratio(prompt_ms, self.prompt_n),
            "prompt_per_second": _ratio(self.prompt_n * 1000, prompt_ms),
            "predicted_n": self.predicted_n,
            "predicted_ms": predicted_ms,
            "predicted_per_token_ms": _ratio(predicted_ms, self.predicted_n),
            "predicted_per_second": _ratio(self.predicted_n * 1000, predicted_ms),
            **drafts,
        }


def _ratio(amount: float, per: float) -> float:
    return amount / per if per > 0 else 0.0
