"""What a client got: text, token counts, and when each piece came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .client import Exchange
from .sse import Event, parse


class Refused(Exception):
    """The server answered with an error, or not to the end; `status` is HTTP's, 0 if there was none."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:300]}" if status else body[:300] or "no answer")
        self.status = status


@dataclass(frozen=True)
class Answer:
    """A streamed answer. Times are seconds of `perf_counter`."""

    sent: float
    times: list[float]
    """When each piece of text arrived: one token each, as a rule."""
    text: str
    n_tokens: int
    """Generated, as the server's `usage` says. Where it says nothing: as many as were asked for, if it stopped for
    that reason, else the pieces of text."""
    n_prompt: int | None
    finish_reason: str | None
    """None: it was cut off."""

    @property
    def time_to_first(self) -> float:
        return self.times[0] - self.sent

    @property
    def end(self) -> float:
        return self.times[-1]

    @property
    def gaps(self) -> list[float]:
        """Seconds between pieces."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    @property
    def mean_gap(self) -> float:
        """Seconds per token after the first piece."""
        return (self.times[-1] - self.times[0]) / max(self.n_tokens - 1, 1)


def answer_of(exchange: Exchange, max_tokens: int = 0) -> Answer:
    """Read an exchange that is over. `max_tokens`: what it asked for. Raises Refused, also if it holds no text."""
    reply = parse(exchange.segments)
    if reply.status != 200:
        raise Refused(reply.status, reply.body.decode(errors="replace"))
    times: list[float] = []
    texts: list[str] = []
    usage: dict[str, Any] = {}
    finish_reason: str | None = None
    for event in reply.events:
        if event.data == b"[DONE]":
            break
        chunk = _chunk(event)
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", ()):
            finish_reason = choice.get("finish_reason") or finish_reason
            if text := _text(choice):
                times.append(event.time)
                texts.append(text)
    if not times:
        raise Refused(reply.status, "no text in the stream")
    n_tokens = usage.get("completion_tokens") or (finish_reason == "length" and max_tokens) or len(times)
    return Answer(exchange.sent, times, "".join(texts), n_tokens, usage.get("prompt_tokens"), finish_reason)


def _text(choice: dict[str, Any]) -> str:
    delta = choice.get("delta") or {}
    return choice.get("text") or delta.get("content") or delta.get("reasoning_content") or ""


def _chunk(event: Event) -> dict[str, Any]:
    try:
        chunk = dict(json.loads(event.data))
    except (TypeError, ValueError):
        chunk = {"error": "no JSON object"}
    if "error" in chunk:
        raise Refused(200, event.data.decode(errors="replace"))
    return chunk
