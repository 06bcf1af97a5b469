"""One choice of a text completion: its text, and where each of its tokens stands in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from backends.base import FinishReason, TokenizerInfo, TokenLogprob
from server.generation import TextDelta, TokenText
from server.schemas.logprobs import CompletionLogprobs, completion_logprobs
from server.text.detokenizer import Detokenizer, detokenize


class Echo:
    """A prompt as it is given back before its completion: its text and its tokens with their log-probabilities."""

    def __init__(self, info: TokenizerInfo, text: str | None, tokens: Sequence[int]) -> None:
        """`text` is None for a prompt given as tokens; then each of these is told of, else not the BOS put before."""
        self._info = info
        self._tokens = tokens
        self._from_text = text is not None
        self._hidden = 1 if self._from_text and tokens and tokens[0] == info.bos else 0
        self._scored: list[TokenLogprob] = []
        self._logprobs: CompletionLogprobs | None = None
        self.text = detokenize(info, tokens) if text is None else text

    def score(self, logprobs: Iterable[TokenLogprob]) -> None:
        """The next tokens' log-probabilities, from the second token on."""
        self._scored += logprobs

    async def logprobs(self) -> CompletionLogprobs:
        """Of its tokens, all of which have been scored. Made once, in a thread: a long one takes a second."""
        if self._logprobs is None:
            self._logprobs = await asyncio.to_thread(lambda: completion_logprobs(self.tokens()))
        return self._logprobs

    def tokens(self) -> list[tuple[int, TokenText]]:
        """Each token with its place in `text`."""
        shown = self._tokens[self._hidden :]
        # a text that was sent shows markup as it was written, where generated text leaves it out
        offsets = Offsets(self._info, 0, special=self._from_text)
        placed = [(offsets.place(token), self._token(position)) for position, token in enumerate(shown, self._hidden)]
        # a tokenizer may put a space before the text; it isn't part of what was sent
        excess = max(0, detokenize(self._info, shown, special=self._from_text).find(self.text))
        return [(max(0, offset - excess), token) for offset, token in placed]

    def _token(self, position: int) -> TokenText:
        pieces = self._info.pieces
        token = self._tokens[position]
        if not 1 <= position <= len(self._scored):
            return TokenText(token, pieces[token], None, [])
        scored = self._scored[position - 1]
        return TokenText(token, pieces[token], scored.logprob, [(t, pieces[t], logprob) for t, logprob in scored.top])


class Offsets:
    """Where tokens begin in a text, in characters."""

    def __init__(self, info: TokenizerInfo, start: int, *, special: bool = False) -> None:
        """`special`: control tokens are part of the text, as their markup."""
        self._detokenizer = Detokenizer(info, special=special)
        self.end = start

    def place(self, token: int) -> int:
        """The offset of the next token."""
        start = self.end
        self.end += len(self._detokenizer.push(token))
        return start


class Choice:
    """What a candidate has generated so far."""

    def __init__(self, info: TokenizerInfo, prompt_length: int) -> None:
        """`prompt_length` is in characters: offsets count from the prompt's first, given back or not."""
        self._offsets = Offsets(info, prompt_length)
        self._texts: list[str] = []
        self._n_scored = 0
        self._score = 0.0
        self.logprobs = completion_logprobs(())
        """Of what has been taken to be told of."""
        self.finish_reason: FinishReason = "stop"

    def take(self, delta: TextDelta, *, tell: bool) -> None:
        """`tell`: of its log-probabilities."""
        self._texts.append(delta.text)
        if tell:
            self.logprobs.extend(self.placed(delta.tokens))
        scores = [token.logprob for token in delta.tokens if token.logprob is not None]
        self._n_scored += len(scores)
        self._score += sum(scores)
        self.finish_reason = delta.finish_reason or self.finish_reason

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def mean_logprob(self) -> float:
        """What `best_of` ranks by; a candidate without tokens comes last."""
        return self._score / self._n_scored if self._n_scored else float("-inf")

    def placed(self, tokens: Iterable[TokenText]) -> CompletionLogprobs:
        """Those of the choice's next tokens, with their places."""
        return completion_logprobs((self._offsets.place(token.id), token) for token in tokens)
