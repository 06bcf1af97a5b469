"""The bodies of llama-server's own endpoints.

Where llama-server and OpenAI differ in what a field may be (biases beyond 100, temperatures above 2), these take
llama-server's. `docs/endpoints.md` tells what each field does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from server import limits
from server.schemas.conversation import ConversationFields
from server.schemas.generation import Stop
from server.schemas.json_types import FLOAT32_MAX, INT32_MAX, Body, Integer, Number
from server.schemas.logit_bias import check_pairs
from server.schemas.lora import LoraScales
from server.schemas.samplers import Count, SamplerFields
from server.schemas.structure import StructureFields

MAX_FILES = 1024
MAX_PROBS = 1024
MAX_RESPONSE_FIELDS = 64
INT64_MAX = 2**63 - 1

MixedPrompt = str | tuple[int | str, ...]
"""A text, or a list of tokens and of texts that become tokens."""
MixedInput = str | Annotated[list[int | str], Field(min_length=1)]
"""The same, as it comes."""


def _refuse(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{reason}", {"reason": message})


def _prompts(value: Any) -> tuple[MixedPrompt, ...]:
    """A list that holds a number is one prompt, any other list is a list of prompts, as in llama-server."""
    if isinstance(value, list) and not any(_is_token(item) for item in value):
        if not value:
            raise _refuse("prompt", "must not be an empty list")
        if len(value) > limits.SEQUENCES:
            raise _refuse("prompt", f"must be at most {limits.SEQUENCES} prompts")
        return tuple(_prompt(item) for item in value)
    return (_prompt(value),)


def _prompt(value: Any) -> MixedPrompt:
    if isinstance(value, dict):
        if "multimodal_data" in value:
            raise _refuse("prompt", "can't hold 'multimodal_data': this model takes only text")
        value = value.get("prompt_string")
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_is_token(item) or isinstance(item, str) for item in value):
        return tuple(value)
    raise _refuse("prompt", "must be a string, a list of tokens and strings, or a list of such prompts")


def _is_token(value: Any) -> bool:
    return type(value) is int


def _bias_pairs(value: Any) -> tuple[tuple[int | str, float | bool], ...]:
    """Pairs as [[id or text, bias or false], …], or an object, whose keys are ids if they are numbers."""
    if isinstance(value, dict):
        pairs: list[Any] = [[_as_id(key), bias] for key, bias in value.items()]
    elif isinstance(value, list):
        pairs = value
    else:
        raise _refuse("logit_bias", "must be a list of pairs, or an object")
    check_pairs(pairs)
    if not all(bias is False or _is_number(bias) for _, bias in pairs):
        raise _refuse("logit_bias", "each bias must be a number, or false to ban the token")
    return tuple((key, bias if bias is False else float(bias)) for key, bias in pairs)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= FLOAT32_MAX


def _as_id(key: str) -> int | str:
    digits = key.removeprefix("-")
    return int(key) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else key


class PromptObject(Body):
    """llama-server's form for prompts with media beside their text; here only text is taken."""

    prompt_string: MixedInput


_Bias = Number | Literal[False]
_AnyPrompt = MixedInput | PromptObject
_WithTokens = Annotated[list[int | str], Field(json_schema_extra={"contains": {"type": "integer"}})]
_PromptsInput = (
    str | _WithTokens | PromptObject | Annotated[list[_AnyPrompt], Field(min_length=1, max_length=limits.SEQUENCES)]
)
_BiasesInput = (
    Annotated[dict[str, _Bias], Field(max_length=limits.LOGIT_BIASES)]
    | Annotated[list[tuple[int | str, _Bias]], Field(max_length=limits.LOGIT_BIASES)]
)
# what the OpenAPI document says of them: the functions are for what pydantic couldn't explain as well
Prompts = Annotated[tuple[MixedPrompt, ...], PlainValidator(_prompts, json_schema_input_type=_PromptsInput)]
BiasPairs = Annotated[
    tuple[tuple[int | str, float | bool], ...], PlainValidator(_bias_pairs, json_schema_input_type=_BiasesInput)
]
Limit = Annotated[Integer, Field(ge=-1, le=INT32_MAX)]
"""A number of tokens; -1: no limit."""


class NativeOptions(SamplerFields, StructureFields):
    """What `/completion` and `/infill` share. Null or absent: the default."""

    temperature: Number | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    logit_bias: BiasPairs | None = None  # type: ignore[assignment]  # llama-server's forms are others than OpenAI's

    model: str | None = None
    n_predict: Limit | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    n_cmpl: Annotated[Integer, Field(ge=1, le=limits.N)] | None = None
    n: Annotated[Integer, Field(ge=1, le=limits.N)] | None = None
    n_probs: Annotated[Integer, Field(ge=0, le=MAX_PROBS)] | None = None
    logprobs: Annotated[Integer, Field(ge=0, le=MAX_PROBS)] | None = None
    n_indent: Count | None = None
    t_max_predict_ms: Annotated[Integer, Field(ge=-1, le=INT64_MAX)] | None = None
    stop: Stop | None = None
    stream: bool | None = None
    cache_prompt: bool | None = None
    return_tokens: bool | None = None
    return_progress: bool | None = None
    timings_per_token: bool | None = None
    sse_ping_interval: Annotated[Integer, Field(ge=-1, le=INT32_MAX)] | None = None
    response_fields: Annotated[list[str], Field(max_length=MAX_RESPONSE_FIELDS, fail_fast=True)] | None = None
    lora: LoraScales | None = None

    # accepted; no effect
    id_slot: Annotated[Integer, Field(ge=-1, le=INT32_MAX)] | None = None
    n_keep: Limit | None = None
    n_discard: Count | None = None
    n_cache_reuse: Count | None = None
    backend_sampling: bool | None = None
    verbose: bool | None = None

    # it needs candidates after sampling: refused, so that nobody relies on it
    post_sampling_probs: Any = None

    @property
    def limit(self) -> int | None:
        """Tokens to generate as the request says it, -1 for as many as fit; None if it doesn't say."""
        named = (self.n_predict, self.max_completion_tokens, self.max_tokens)
        return next((limit for limit in named if limit is not None), None)

    @property
    def completions(self) -> int:
        """How often each prompt is continued."""
        return self.n_cmpl or self.n or 1

    @property
    def probabilities(self) -> int:
        """How many of the likeliest tokens to tell of at each place."""
        return (self.n_probs if self.n_probs is not None else self.logprobs) or 0

    @property
    def stop_strings(self) -> list[str]:
        strings = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [string for string in strings if string]


class NativeCompletionRequest(NativeOptions):
    """`POST /completion`."""

    prompt: Prompts


class ExtraInput(Body):
    """A file's text given to `/infill` for context."""

    text: str
    filename: str | None = None


class InfillRequest(NativeOptions):
    """`POST /infill`."""

    input_prefix: str
    input_suffix: str
    input_extra: Annotated[list[ExtraInput], Field(max_length=MAX_FILES, fail_fast=True)] | None = None
    prompt: str | None = None
    """Goes behind the prefix; unlike it, markup in it is read as special tokens."""


def _content(value: Any) -> MixedPrompt:
    if isinstance(value, str) or (isinstance(value, list) and all(_is_token(v) or isinstance(v, str) for v in value)):
        return value if isinstance(value, str) else tuple(value)
    raise _refuse("content", "must be a string, or a list of tokens and strings")


class ModelRequest(Body):
    """`POST /models/load` and `POST /models/unload`."""

    model: str


class TokenizeRequest(Body):
    """`POST /tokenize`."""

    model: str | None = None
    content: Annotated[MixedPrompt, PlainValidator(_content, json_schema_input_type=str | list[int | str])]
    add_special: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None


class DetokenizeRequest(Body):
    """`POST /detokenize`."""

    model: str | None = None
    tokens: Annotated[list[Annotated[int, Field(ge=0, le=INT32_MAX)]], Field(fail_fast=True)]


class ApplyTemplateRequest(ConversationFields):
    """`POST /apply-template`: what of a chat request the template sees."""

    model: str | None = None
