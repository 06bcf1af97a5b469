"""llama-server's answers to `/completion`: the pieces of a stream, and the whole at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from server.generation import TokenText
from server.schemas.json_types import FLOAT32_MAX
from server.schemas.logprobs import encoded
from server.schemas.usage import PromptProgress, Timings

StopType = Literal["none", "eos", "limit", "word"]

LEAST = -FLOAT32_MAX
"""llama-server's stand-in for minus infinity, which JSON lacks."""


class Probability(msgspec.Struct):
    """A token and its log-probability before any sampler."""

    id: int
    token: str
    bytes: list[int]
    logprob: float


class TokenProbability(Probability):
    top_logprobs: list[Probability]


class Piece(msgspec.Struct, kw_only=True):
    """An event of a stream before the last: `content` is what has been generated since the one before."""

    index: int
    content: str
    tokens: list[int]
    stop: bool = False
    id_slot: int
    tokens_predicted: int
    tokens_evaluated: int
    timings: Timings | UnsetType = UNSET
    prompt_progress: PromptProgress | UnsetType = UNSET
    completion_probabilities: list[TokenProbability] | UnsetType = UNSET


class Final(msgspec.Struct, kw_only=True):
    """A completion; as the last event of a stream its `content` and `tokens` are empty."""

    index: int
    content: str
    tokens: list[int]
    id_slot: int
    stop: bool = True
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    generation_settings: dict[str, Any]
    prompt: str
    has_new_line: bool
    truncated: bool
    stop_type: StopType
    stopping_word: str
    tokens_cached: int
    timings: Timings
    completion_probabilities: list[TokenProbability] | UnsetType = UNSET


def probabilities(tokens: Iterable[TokenText]) -> list[TokenProbability]:
    """Each encoded: see `server.schemas.logprobs`."""
    return [
        encoded(
            TokenProbability(
                token.id,
                _shown(token.piece),
                list(token.piece),
                _number(token.logprob),
                [Probability(key, _shown(piece), list(piece), _number(logprob)) for key, piece, logprob in token.top],
            )
        )
        for token in tokens
    ]


def selected(final: Final, fields: Sequence[str]) -> Any:
    """Only the named fields, `a/b` for b in a under that very name. Unknown ones are left out; no names: everything."""
    if not fields:
        return final
    whole = msgspec.structs.asdict(final)
    found = {}
    for path in fields:
        value: Any = whole
        for key in path.split("/"):
            value = value.get(key, UNSET) if isinstance(value, Mapping) else UNSET
        if value is not UNSET:
            found[path] = value
    return found


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _number(logprob: float | None) -> float:
    return 0.0 if logprob is None else max(logprob, LEAST)
