"""A prompt's tokens, and how many may follow them."""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import Backend, Tokenizer, TokenizerInfo
from server.errors import context_length_exceeded, invalid
from server.fim import fim_prompt, markers


async def chat_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """A rendered chat template as tokens. A template that writes BOS itself gets no second one."""
    info = tokenizer.info
    has_bos = info.bos is not None and text.startswith(info.pieces[info.bos].decode("utf-8", "replace"))
    return _not_empty(await tokenizer.encode(text, add_special=not has_bos, parse_special=True), info)


async def completion_tokens(tokenizer: Tokenizer, prompt: str | Sequence[int], param: str) -> list[int]:
    """A text, or tokens that the client has chosen itself, as they are. Raises a 400 for tokens out of range."""
    info = tokenizer.info
    if isinstance(prompt, str):
        return _not_empty(await tokenizer.encode(prompt, add_special=True, parse_special=True), info)
    if (highest := max(prompt)) >= len(info.pieces):
        raise invalid(f"Token {highest} is not in the vocabulary: ids are 0 to {len(info.pieces) - 1}.", param)
    return list(prompt)


async def infill_tokens(tokenizer: Tokenizer, prompt: str | Sequence[int], suffix: str) -> list[int]:
    """What stands between `prompt` and `suffix` is to be generated. Raises a 400 for a model that can't do it."""
    marks = markers(tokenizer.info, "suffix")
    if isinstance(prompt, str):
        before: Sequence[int] = await tokenizer.encode(prompt, add_special=False, parse_special=False)
    else:
        before = await completion_tokens(tokenizer, prompt, "prompt")
    after = await tokenizer.encode(suffix, add_special=False, parse_special=False)
    return fim_prompt(tokenizer.info, marks, before, after)


async def prediction_tokens(backend: Backend, text: str) -> list[int]:
    """What a client expects the answer to be; of a longer text as many tokens as the context has. Markup in it counts
    as such, as it does in what the model says."""
    tokens = await backend.tokenizer.encode(text, add_special=False, parse_special=True) if text else []
    return tokens[: backend.model.n_ctx]


def room_for(n_ctx: int, prompt: int, limit: int | None, *, asked: bool, param: str) -> int:
    """How many tokens to generate after `prompt` tokens: up to `limit`, None being all that fit.

    A limit that was `asked` for and doesn't fit is a 400, as is a prompt that leaves no room.
    """
    room = n_ctx - prompt
    if room < (0 if limit == 0 else 1) or (limit is not None and limit > room and asked):
        raise context_length_exceeded(n_ctx, prompt, 1 if limit is None else limit, param)
    return room if limit is None else min(limit, room)


def _not_empty(tokens: list[int], info: TokenizerInfo) -> list[int]:
    """There must be a token to continue from: a document's beginning, or the end of the one before it."""
    if tokens:
        return tokens
    start = next((token for token in (info.bos, info.eos, info.eot) if token is not None), None)
    if start is None:
        raise invalid("The prompt is empty, and the model has no token that begins a text.", "prompt")
    return [start]
