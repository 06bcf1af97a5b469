"""The run of one request: a backend's token chunks in, text deltas per choice out.

Routes are built on this. It knows text and stop strings, but neither HTTP nor OpenAI's wire format; except that a
grammar that can't be used is a 400, as only here it is known what the client calls it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from backends.base import (
    Backend,
    BackendError,
    FinishReason,
    GenerateRequest,
    InvalidGrammar,
    PromptProgress,
    TokenChunk,
    TokenLogprob,
)
from server.errors import invalid
from server.request_record import current
from server.text.detokenizer import Detokenizer, detokenize
from server.text.stop import StopMatcher, StopStrings
from server.timings import Timings


class TokenText(msgspec.Struct, frozen=True):
    """A generated token; `top` holds the most likely ones at its place as (id, piece, logprob)."""

    id: int
    piece: bytes
    logprob: float | None
    top: list[tuple[int, bytes, float]]
    end: int = 0
    """Where its text ends in the text of the choice, in characters."""


class TextDelta(msgspec.Struct, frozen=True):
    """What choice `index` has grown by.

    `tokens` are those whose text is complete with this delta: over a whole choice their bytes, concatenated, are the
    text, save for control tokens that are not rendered and for a token that a stop string cuts in two.
    `finish_reason` "stop" without a `stop_string` means that the model ended by itself.
    """

    index: int
    text: str
    tokens: list[TokenText]
    finish_reason: FinishReason | None = None
    stop_string: str | None = None


class Usage(msgspec.Struct):
    """Tokens, the completion's summed over the choices; the token that completes a stop string counts."""

    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    accepted_prediction_tokens: int = 0
    """Of the request's prediction: those that came true, in each choice."""
    rejected_prediction_tokens: int = 0
    """The others. Like the accepted ones, they are summed over the choices."""


class Generation:
    """One request's run. `usage` and `timings` are up to date at every event and final after the last."""

    def __init__(
        self,
        backend: Backend,
        request: GenerateRequest,
        *,
        stop: Sequence[str] = (),
        special: bool = False,
        instead: Mapping[int, str] | None = None,
        grammar_field: str | None = None,
    ) -> None:
        """`special` renders control tokens as text. `instead`: what to render these tokens as, where that is not the
        text of their bytes. `grammar_field`: what the client calls the request's grammar."""
        self._backend = backend
        self.request = request
        self._grammar_field = grammar_field
        strings = StopStrings(stop)
        info = backend.tokenizer.info
        self._open = {
            index: _Choice(index, Detokenizer(info, special=special, instead=instead), info.pieces, strings)
            for index in range(request.n)
        }
        self.usage = Usage(len(request.prompt), rejected_prediction_tokens=request.n * len(request.prediction))
        self.timings = Timings()
        self.finish_reasons: dict[int, str] = {}
        """Why each choice that has ended did; whoever reads more into its text than this may say it better."""

    @property
    def tokens_used(self) -> int:
        """So far, the prompt's included."""
        return self.usage.prompt_tokens + self.usage.completion_tokens

    @property
    def tokens_allowed(self) -> int:
        """What `tokens_used` is at most at the end."""
        return self.usage.prompt_tokens + self.request.n * self.request.max_tokens

    @property
    def prompt(self) -> str:
        """As text, markup included."""
        return detokenize(self._backend.tokenizer.info, self.request.prompt, special=True)

    async def events(self) -> AsyncGenerator[TextDelta | PromptProgress, None]:
        """Run it. Close the iterator (`contextlib.aclosing`) to cancel what is left at once.

        Raises BackendError or a subclass of it, and a 400 that names the field of a grammar that can't be used.
        """
        self.timings.start()
        if (record := current()) is not None:
            record.generations.append(self)
        try:
            async with aclosing(self._backend.generate(self.request)) as source:
                async for event in source:
                    if isinstance(event, PromptProgress):
                        self._count_prompt(event)
                        yield event
                    elif (delta := self._take(event)) is not None:
                        yield delta
                    if not self._open:
                        return
        except InvalidGrammar as error:
            raise invalid(str(error), self._grammar_field) from None
        if self._open:
            raise BackendError("the engine ended the request before it was complete")

    def end(self, index: int) -> None:
        """Stop a choice, for a reason of the caller's own. Deltas of it that were there already may still come."""
        if self._open.pop(index, None) is not None:
            self.finish_reasons[index] = "stop"
            self._backend.cancel(self.request.id, index)

    def _count(self, chunk: TokenChunk, used: int) -> None:
        """So many of the chunk's tokens are part of the choice; none after a stop string."""
        self.usage.completion_tokens += used
        self.timings.predicted(used)
        if chunk.came_true is not None:
            came_true = sum(chunk.came_true[:used])
            self.usage.accepted_prediction_tokens += came_true
            self.usage.rejected_prediction_tokens -= came_true
        if chunk.n_drafted:
            self.timings.drafted(chunk.n_drafted, min(chunk.n_accepted, used))

    def _count_prompt(self, progress: PromptProgress) -> None:
        self.usage.cached_tokens = progress.cached
        if progress.done:
            self.timings.prompt_done(progress.processed - progress.cached, progress.cached, progress.queued)

    def _take(self, chunk: TokenChunk) -> TextDelta | None:
        choice = self._open.get(chunk.index)
        if choice is None:
            return None
        before = choice.count
        delta = choice.take(chunk)
        self._count(chunk, choice.count - before)
        if delta.finish_reason is not None:
            del self._open[chunk.index]
            self.finish_reasons[chunk.index] = delta.finish_reason
            if delta.stop_string is not None:
                self._backend.cancel(self.request.id, chunk.index)
        elif not delta.text:
            return None
        return delta


class _Choice:
    """One sequence: its text as far as it may be shown, and the tokens that wait for theirs.

    Positions are in characters from the start of the text. A token waits with the position at which the text that it
    takes part in ends; it leaves when the text has been released to there.
    """

    def __init__(self, index: int, detokenizer: Detokenizer, pieces: Sequence[bytes], strings: StopStrings) -> None:
        self.index = index
        self.count = 0
        self._pieces = pieces
        self._detokenizer = detokenizer
        self._matcher = StopMatcher(strings)
        self._decoded = 0
        self._released = 0
        self._waiting: deque[tuple[int, TokenText]] = deque()
        """(where its text starts, token); the token's end lies ahead while its last character is incomplete."""

    def take(self, chunk: TokenChunk) -> TextDelta:
        """Advance by a chunk. The delta may be empty: then its tokens are kept for a later one."""
        text = ""
        for position, token in enumerate(chunk.tokens):
            logprobs = chunk.logprobs[position] if chunk.logprobs is not None else None
            text += self._push(token, logprobs)
            if self._matcher.matched is not None:
                return self._stopped(text)
        if chunk.finish_reason is not None:
            text += self._matcher.push(self._detokenizer.finish())
            if self._matcher.matched is not None:
                return self._stopped(text)
            text += self._matcher.finish()
            return TextDelta(self.index, text, self._leave_all(), chunk.finish_reason)
        self._released += len(text)
        return TextDelta(self.index, text, self._leave() if text else [])

    def _push(self, token: int, logprobs: TokenLogprob | None) -> str:
        start = self._decoded
        text = self._detokenizer.push(token)
        self._decoded += len(text)
        self.count += 1
        end = self._decoded + self._detokenizer.pending
        self._waiting.append((start, self._token_text(token, logprobs, end)))
        return self._matcher.push(text)

    def _token_text(self, token: int, logprobs: TokenLogprob | None, end: int) -> TokenText:
        pieces = self._pieces
        if logprobs is None:
            return TokenText(token, pieces[token], None, [], end)
        return TokenText(token, pieces[token], logprobs.logprob, [(t, pieces[t], p) for t, p in logprobs.top], end)

    def _stopped(self, text: str) -> TextDelta:
        """The last delta before a stop string; tokens that lie wholly in the stop string are dropped."""
        self._released += len(text)
        tokens = [token for start, token in self._waiting if start < self._released]
        self._waiting.clear()
        return TextDelta(self.index, text, tokens, "stop", self._matcher.matched)

    def _leave(self) -> list[TokenText]:
        tokens = []
        while self._waiting and self._waiting[0][1].end <= self._released:
            tokens.append(self._waiting.popleft()[1])
        return tokens

    def _leave_all(self) -> list[TokenText]:
        tokens = [token for _, token in self._waiting]
        self._waiting.clear()
        return tokens
