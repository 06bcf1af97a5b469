"""A conversation: one model per role, one per kind of content part.

Properties that OpenAI does not have (`reasoning_content` …) are kept: chat templates read them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from server.schemas.json_types import Body, Omissible, TextOrList


class _Kept(Body):
    model_config = ConfigDict(extra="allow")


class CacheBreakpoint(Body):
    mode: Literal["explicit"]


class TextPart(_Kept):
    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: Omissible[CacheBreakpoint] = None


class RefusalPart(_Kept):
    type: Literal["refusal"]
    refusal: str


class ImageUrl(Body):
    url: str
    detail: Omissible[Literal["auto", "low", "high"]] = None


class ImagePart(_Kept):
    type: Literal["image_url"]
    image_url: ImageUrl
    prompt_cache_breakpoint: Omissible[CacheBreakpoint] = None


class InputAudio(Body):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(_Kept):
    type: Literal["input_audio"]
    input_audio: InputAudio
    prompt_cache_breakpoint: Omissible[CacheBreakpoint] = None


class File(Body):
    filename: Omissible[str] = None
    file_data: Omissible[str] = None
    file_id: Omissible[str] = None


class FilePart(_Kept):
    type: Literal["file"]
    file: File
    prompt_cache_breakpoint: Omissible[CacheBreakpoint] = None


UserPart = Annotated[TextPart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class FunctionCall(_Kept):
    name: str
    arguments: str


class FunctionToolCall(_Kept):
    id: str
    type: Literal["function"]
    function: FunctionCall


class CustomCall(_Kept):
    name: str
    input: str


class CustomToolCall(_Kept):
    id: str
    type: Literal["custom"]
    custom: CustomCall


ToolCall = Annotated[FunctionToolCall | CustomToolCall, Field(discriminator="type")]


class AudioReference(Body):
    id: str


class DeveloperMessage(_Kept):
    role: Literal["developer"]
    content: TextOrList[TextPart]
    name: Omissible[str] = None


class SystemMessage(_Kept):
    role: Literal["system"]
    content: TextOrList[TextPart]
    name: Omissible[str] = None


class UserMessage(_Kept):
    role: Literal["user"]
    content: TextOrList[UserPart]
    name: Omissible[str] = None


class AssistantMessage(_Kept):
    role: Literal["assistant"]
    content: TextOrList[AssistantPart] | None = None
    refusal: str | None = None
    name: Omissible[str] = None
    audio: AudioReference | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    function_call: FunctionCall | None = None


class ToolMessage(_Kept):
    role: Literal["tool"]
    content: TextOrList[TextPart]
    tool_call_id: str


class FunctionMessage(_Kept):
    role: Literal["function"]
    content: str | None
    name: str


Message = Annotated[
    DeveloperMessage | SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]


_ONLY_ASSISTANTS = {"tool_calls", "function_call"}


def as_sent(message: Message) -> dict[str, Any]:
    """The message as the client wrote it, properties beyond OpenAI's included.

    Calls in a message whose role makes none are left out: there they are unknown properties that nothing has checked.
    So are calls that are null: templates ask whether there are any, and then go through them.
    """
    calls = _ONLY_ASSISTANTS
    if isinstance(message, AssistantMessage):
        calls = {name for name in calls if getattr(message, name) is None}
    return message.model_dump(exclude_unset=True, exclude=calls)
