"""Request fields to `SamplingParams`: what the request leaves out is the model's default."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from backends.base import RANDOM_SEED, SamplingParams, Tokenizer
from server.errors import invalid
from server.schemas.samplers import SamplerFields

V = TypeVar("V")

_SAME_NAME = tuple(
    name
    for name in SamplingParams.__struct_fields__
    if name not in ("logit_bias", "seed", "typical_p", "repeat_penalty", "mirostat", "dry_sequence_breakers")
)


async def sampling_params(request: SamplerFields, defaults: SamplingParams, tokenizer: Tokenizer) -> SamplingParams:
    """Raises a 400 for a `logit_bias` whose tokens the vocabulary hasn't."""
    breakers = request.dry_sequence_breakers
    given: dict[str, Any] = {
        **{name: getattr(request, name) for name in _SAME_NAME},
        "typical_p": _first(request.typical_p, request.typ_p),
        "repeat_penalty": _first(request.repeat_penalty, request.repetition_penalty),
        "mirostat": _first(request.mirostat, request.mirostat_mode),
        "dry_sequence_breakers": tuple(breakers) if breakers is not None else None,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if request.seed is not None:
        changes["seed"] = engine_seed(request.seed)
    if request.logit_bias:
        as_text = request.logit_bias_type == "tokens"
        changes["logit_bias"] = defaults.logit_bias | await token_biases(request.logit_bias, tokenizer, as_text=as_text)
    return msgspec.structs.replace(defaults, **changes)


def engine_seed(seed: int) -> int | None:
    """A 64-bit seed folded into llama.cpp's 32 bits; those that fit stay themselves.

    None: choose one. Larger seeds are kept from folding into the one that asks for that.
    """
    if seed in (-1, RANDOM_SEED):
        return None
    folded = (seed ^ (seed >> 32)) & 0xFFFF_FFFF if not 0 <= seed < 2**32 else seed
    return min(folded, RANDOM_SEED - 1)


async def token_biases(biases: dict[str, Any], tokenizer: Tokenizer, *, as_text: bool = False) -> dict[int, float]:
    """Biases by token id. Keys are ids written as numbers, or else text, whose every token gets the bias.

    `as_text` takes numbers for text too. A bias of false bans the token. Raises a 400 for an id out of range.
    """
    n_vocab = len(tokenizer.info.pieces)
    by_id: dict[int, float] = {}
    for key, bias in biases.items():
        value = -math.inf if bias is False else float(bias)
        if as_text or not _is_integer(key):
            tokens = await tokenizer.encode(key, add_special=False, parse_special=True)
        elif 0 <= (token := int(key)) < n_vocab:
            tokens = [token]
        else:
            raise invalid(f"Invalid key in 'logit_bias': {key[:40]}. Token ids are 0 to {n_vocab - 1}.", "logit_bias")
        by_id.update(dict.fromkeys(tokens, value))
    return by_id


def _is_integer(key: str) -> bool:
    digits = key.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 20


def _first(*values: V | None) -> V | None:
    return next((value for value in values if value is not None), None)
