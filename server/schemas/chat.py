"""The body of `POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from server.schemas.conversation import ConversationFields
from server.schemas.generation import GenerationFields
from server.schemas.json_types import INT32_MAX, Body, Integer, Omissible, TextOrList
from server.schemas.messages import TextPart
from server.schemas.tools import ResponseFormat

MAX_METADATA = 16


def _few(value: Any) -> Any:
    """Before its entries are looked at: there may be very many."""
    if isinstance(value, dict) and len(value) > MAX_METADATA:
        raise PydanticCustomError("too_long", "must have at most {limit} entries", {"limit": MAX_METADATA})
    return value


MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue], BeforeValidator(_few), Field(json_schema_extra={"maxProperties": MAX_METADATA})
]


def _not_zero(limit: int) -> int:
    if limit == 0:
        raise PydanticCustomError("limit", "must be at least 1, or -1 for no limit")
    return limit


Limit = Annotated[Integer, Field(ge=-1, json_schema_extra={"not": {"const": 0}}), AfterValidator(_not_zero)]
"""A number of tokens; -1, which is llama-server's: to the context's end."""
Budget = Annotated[Integer, Field(ge=-1, le=INT32_MAX)]


class CustomVoice(Body):
    id: str


def _voice_kind(value: Any) -> str | None:
    return "<name>" if isinstance(value, str) else "<object>" if isinstance(value, dict) else None


Voice = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[CustomVoice, Tag("<object>")],
    Discriminator(_voice_kind, custom_error_type="voice", custom_error_message="must be a string or an object"),
]


class Audio(Body):
    voice: Voice
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]


class Location(Body):
    country: Omissible[str] = None
    region: Omissible[str] = None
    city: Omissible[str] = None
    timezone: Omissible[str] = None


class UserLocation(Body):
    type: Literal["approximate"]
    approximate: Location


class WebSearchOptions(Body):
    user_location: UserLocation | None = None
    search_context_size: Omissible[Literal["low", "medium", "high"]] = None


class ModerationMode(Body):
    mode: Literal["score", "block"]


class ModerationPolicy(Body):
    input: ModerationMode | None = None
    output: ModerationMode | None = None


class Moderation(Body):
    model: str
    policy: ModerationPolicy | None = None


class Prediction(Body):
    type: Literal["content"]
    content: TextOrList[TextPart]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class PromptCacheOptions(Body):
    ttl: Omissible[Literal["30m"]] = None
    mode: Omissible[Literal["implicit", "explicit"]] = None


class ChatCompletionRequest(GenerationFields, ConversationFields):
    """OpenAI's CreateChatCompletionRequest, and llama-server's additions."""

    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None

    response_format: ResponseFormat | None = None

    modalities: Annotated[list[Literal["text", "audio"]], Field(fail_fast=True)] | None = None
    audio: Audio | None = None
    web_search_options: Omissible[WebSearchOptions] = None
    moderation: Moderation | None = None

    # accepted; no effect on the text (on speed: prediction)
    prediction: Prediction | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    safety_identifier: Annotated[str, StringConstraints(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: Omissible[PromptCacheOptions] = None

    # llama-server's own
    reasoning_format: Literal["none", "auto", "deepseek", "deepseek-legacy"] | None = None
    reasoning_budget_tokens: Budget | None = None
    thinking_budget_tokens: Budget | None = None

    @property
    def thinking_budget(self) -> int | None:
        """Tokens that thinking may take; None: any number."""
        budget = self.thinking_budget_tokens if self.reasoning_budget_tokens is None else self.reasoning_budget_tokens
        return None if budget == -1 else budget

    @property
    def limit(self) -> int | None:
        """Tokens to generate as the request says it, -1 for as many as fit; None if it doesn't say."""
        named = (self.max_completion_tokens, self.max_tokens, self.n_predict)
        return next((limit for limit in named if limit is not None), None)

    @property
    def completion_limit(self) -> int | None:
        """The most tokens to generate; None: to the context's end."""
        return None if self.limit == -1 else self.limit
