"""What `POST /v1/chat/completions` answers: one object, or a stream of chunks.

Structs, not pydantic models: chunks are made and encoded for every token of every stream.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from server.schemas.logprobs import ChatLogprobs
from server.schemas.usage import PromptProgress, Timings, Usage

FinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class FunctionText(msgspec.Struct, omit_defaults=True):
    """A call of a function, or in a stream more of one: then the name comes first, and only once."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class CustomText(msgspec.Struct, omit_defaults=True):
    """The same of a custom tool."""

    name: str | UnsetType = UNSET
    input: str | UnsetType = UNSET


class ToolCall(msgspec.Struct, omit_defaults=True):
    id: str
    type: str
    function: FunctionText | UnsetType = UNSET
    custom: CustomText | UnsetType = UNSET


class ResponseMessage(msgspec.Struct):
    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    annotations: tuple[()] = ()
    audio: None = None
    tool_calls: list[ToolCall] | UnsetType = UNSET
    function_call: FunctionText | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    """The same: some clients know it under this name."""


class ChatChoice(msgspec.Struct):
    index: int
    message: ResponseMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str
    service_tier: Literal["default"] | None = None
    metadata: None = None
    moderation: None = None
    timings: Timings


class ToolCallDelta(msgspec.Struct, omit_defaults=True):
    """More of call `index`; its first has the id, the type and the name."""

    index: int
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: FunctionText | UnsetType = UNSET
    custom: CustomText | UnsetType = UNSET


class Delta(msgspec.Struct):
    """What a message grows by: nothing, as it is. Nearly every token has one, so each kind has its own fields only."""

    @property
    def text(self) -> str:
        """The part of the answer, names and ids aside."""
        return ""


class FirstDelta(Delta):
    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ContentDelta(Delta):
    content: str

    @property
    def text(self) -> str:
        return self.content


class ReasoningDelta(Delta):
    reasoning_content: str
    reasoning: str
    """The same."""

    @property
    def text(self) -> str:
        return self.reasoning


class ToolCallsDelta(Delta):
    tool_calls: list[ToolCallDelta]

    @property
    def text(self) -> str:
        return "".join(_written(call.function or call.custom) for call in self.tool_calls)


class FunctionCallDelta(Delta):
    function_call: FunctionText

    @property
    def text(self) -> str:
        return _written(self.function_call)


def _written(call: FunctionText | CustomText | UnsetType) -> str:
    if isinstance(call, UnsetType):
        return ""
    return (call.arguments if isinstance(call, FunctionText) else call.input) or ""


class ChunkChoice(msgspec.Struct):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(msgspec.Struct, kw_only=True):
    """`usage` is there, null but at the end, if the client asked for it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str
    service_tier: Literal["default"] | None = None
    usage: Usage | UnsetType | None = UNSET
    timings: Timings | UnsetType = UNSET
    prompt_progress: PromptProgress | UnsetType = UNSET
    obfuscation: str | UnsetType = UNSET
