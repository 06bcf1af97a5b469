"""Log-probabilities as the two endpoints write them.

Each token's are encoded as it comes. Answers that aren't streamed hold all of them until their end: as JSON they take a
third of the memory, and the end of a long one holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

import msgspec

from server.generation import TokenText

T = TypeVar("T")

LEAST = -9999.0
"""OpenAI's stand-in for minus infinity, which JSON lacks."""


class TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct):
    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(msgspec.Struct):
    """Parallel lists, one entry per token. Offsets count characters from the prompt's first."""

    text_offset: list[int]
    token_logprobs: list[float]
    tokens: list[str]
    top_logprobs: list[dict[str, float]]

    def extend(self, more: CompletionLogprobs) -> None:
        """By those of the tokens that follow."""
        self.text_offset += more.text_offset
        self.token_logprobs += more.token_logprobs
        self.tokens += more.tokens
        self.top_logprobs += more.top_logprobs


def encoded(value: T) -> T:
    """What stands for the value in an answer: its JSON, which is written as it is."""
    return cast("T", msgspec.Raw(msgspec.json.encode(value)))


def chat_logprobs(tokens: Iterable[TokenText]) -> ChatLogprobs:
    """A token that is a part of a character shows as U+FFFD; its `bytes` tell."""
    return ChatLogprobs(
        content=[
            encoded(
                TokenLogprob(
                    token=_shown(token.piece),
                    logprob=_number(token.logprob),
                    bytes=list(token.piece),
                    top_logprobs=[
                        TopLogprob(_shown(piece), _number(logprob), list(piece)) for _, piece, logprob in token.top
                    ],
                )
            )
            for token in tokens
        ]
    )


def completion_logprobs(tokens: Iterable[tuple[int, TokenText]]) -> CompletionLogprobs:
    """From (offset, token). `top_logprobs` holds the chosen token too, as OpenAI's does.

    A token without a log-probability, as a text's first, counts as certain: the document has no null here.
    """
    result = CompletionLogprobs([], [], [], [])
    for offset, token in tokens:
        name = legacy_name(token.piece)
        top = {legacy_name(piece): _number(logprob) for _, piece, logprob in token.top}
        result.text_offset.append(offset)
        result.tokens.append(name)
        result.token_logprobs.append(_number(token.logprob))
        if token.logprob is not None:
            top[name] = _number(token.logprob)
        result.top_logprobs.append(encoded(top))
    return result


def _number(logprob: float | None) -> float:
    return 0.0 if logprob is None else max(logprob, LEAST)


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def legacy_name(piece: bytes) -> str:
    r"""A token as text; a part of a character as OpenAI writes it, `bytes:\xe2\x80`."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
