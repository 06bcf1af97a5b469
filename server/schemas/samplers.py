"""How to choose tokens: OpenAI's sampling fields, and llama.cpp's beside them at the top level of both bodies.

Names are llama-server's and llama-cpp-python's; where they differ both are here. Null or absent means the model's
default. `docs/samplers.md` explains each; ranges are OpenAI's document's for its own fields, llama.cpp's for the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from backends.base import SAMPLER_NAMES, SAMPLERS
from server import limits
from server.schemas.json_types import INT32_MAX, Body, Integer, Number

SEED_LIMIT = 9_223_372_036_854_776_000
"""The bound that OpenAI's document writes: the end of int64 as a rounded decimal."""
LOGIT_BIAS_LIMIT = 100
MAX_SAMPLERS = 32

_LETTERS = dict(zip("edskfypmxtia", SAMPLERS, strict=True))
"""llama-server's one-letter names; f was tfs_z's while llama.cpp had it."""

NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
Penalty = Annotated[Number, Field(ge=-2, le=2)]
Count = Annotated[Integer, Field(ge=0, le=INT32_MAX)]
Window = Annotated[Integer, Field(ge=-1, le=INT32_MAX)]
"""A number of tokens to look back; -1: the whole context."""


def _refuse(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{reason}", {"reason": message})


def _logit_bias(biases: dict[str, Any]) -> dict[str, Any]:
    for key, bias in biases.items():
        if bias is False:
            continue
        if isinstance(bias, bool) or not isinstance(bias, (int, float)):
            raise _refuse("logit_bias", f"the bias of {key[:40]!r} must be a number, or false to ban it")
        if not -LOGIT_BIAS_LIMIT <= bias <= LOGIT_BIAS_LIMIT:
            raise _refuse("logit_bias", f"the bias of {key[:40]!r} must be from -100 to 100")
    return biases


def _sampler_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        names = [_LETTERS.get(letter, letter) for letter in value]
    elif isinstance(value, list) and all(isinstance(name, str) for name in value):
        names = [SAMPLER_NAMES.get(name.lower(), str(name)) for name in value]
    else:
        raise _refuse("samplers", "must be a list of sampler names, or a string of their letters")
    for name in names:
        if name not in SAMPLERS:
            raise _refuse("samplers", f"{name[:40]!r} is no sampler; there are: {', '.join(SAMPLERS)}")
    return tuple(names)


Bias = Annotated[
    Any,
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": -LOGIT_BIAS_LIMIT, "maximum": LOGIT_BIAS_LIMIT}, {"const": False}]}
    ),
]
"""Checked by `_logit_bias`, all at once."""
LogitBias = Annotated[dict[str, Bias], Field(max_length=limits.LOGIT_BIASES), AfterValidator(_logit_bias)]
_SamplerLetters = Annotated[str, Field(max_length=MAX_SAMPLERS, pattern=f"^[{''.join(_LETTERS)}]*$")]
_SamplerList = Annotated[list[str], Field(max_length=MAX_SAMPLERS)]
SamplerNames = Annotated[
    tuple[str, ...],
    Field(max_length=MAX_SAMPLERS),
    BeforeValidator(_sampler_names, json_schema_input_type=_SamplerLetters | _SamplerList),
]
SequenceBreaker = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class SamplerFields(Body):
    """Every sampling field. Where two fields mean the same, llama-server's name wins over the other."""

    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[Integer, Field(ge=-SEED_LIMIT, le=SEED_LIMIT)] | None = None
    logit_bias: LogitBias | None = None
    logit_bias_type: Literal["input_ids", "tokens"] | None = None
    """llama-cpp-python's: whether the keys of `logit_bias` are token ids (the default, if they are numbers) or text."""

    top_k: Annotated[Integer, Field(ge=-INT32_MAX, le=INT32_MAX)] | None = None
    min_p: Fraction | None = None
    tfs_z: NonNegative | None = None
    typical_p: NonNegative | None = None
    typ_p: NonNegative | None = None
    top_n_sigma: Number | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Fraction | None = None
    dynatemp_range: NonNegative | None = None
    dynatemp_exponent: NonNegative | None = None
    mirostat: Annotated[Integer, Field(ge=0, le=2)] | None = None
    mirostat_mode: Annotated[Integer, Field(ge=0, le=2)] | None = None
    mirostat_tau: NonNegative | None = None
    mirostat_eta: NonNegative | None = None
    repeat_penalty: Positive | None = None
    repetition_penalty: Positive | None = None
    repeat_last_n: Window | None = None
    dry_multiplier: NonNegative | None = None
    dry_base: NonNegative | None = None
    dry_allowed_length: Count | None = None
    dry_penalty_last_n: Window | None = None
    dry_sequence_breakers: Annotated[list[SequenceBreaker], Field(max_length=64, fail_fast=True)] | None = None
    """DRY: texts that end a repeat."""
    adaptive_target: Annotated[Number, Field(le=1)] | None = None
    adaptive_decay: Annotated[Number, Field(ge=0, le=0.99)] | None = None
    min_keep: Count | None = None
    ignore_eos: bool | None = None
    min_tokens: Count | None = None
    samplers: SamplerNames | None = None
    """The chain: a list of names, or a string of their letters."""
