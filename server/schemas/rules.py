"""What a request's fields mean to each other, and what OpenAI has that this server has not."""

from __future__ import annotations

from collections.abc import Sequence

from server import limits
from server.errors import invalid, unsupported
from server.schemas.chat import ChatCompletionRequest
from server.schemas.completion import CompletionRequest
from server.schemas.conversation import ConversationFields
from server.schemas.generation import GenerationFields
from server.schemas.messages import AssistantMessage, Message, UserMessage
from server.schemas.tool_rules import check_tools

_MEDIA = {"image_url": "images", "input_audio": "audio", "file": "files"}


def check_chat(request: ChatCompletionRequest) -> None:
    """Raises a 400 for a chat request that is well-formed but can't be honoured."""
    _check_shared(request)
    if request.top_logprobs is not None and not request.logprobs:
        raise invalid("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs")
    check_conversation(request)
    _refuse_services(request)


def check_conversation(request: ConversationFields) -> None:
    """Raises a 400 for what no chat template can be told."""
    check_tools(request)
    _check_continuation(request)
    if not isinstance((request.chat_template_kwargs or {}).get("enable_thinking"), bool | None):
        raise invalid("'enable_thinking' must be true or false.", "chat_template_kwargs.enable_thinking")
    _refuse_media(request.messages)


def check_completion(request: CompletionRequest) -> None:
    """Raises a 400 for a text completion request that is well-formed but can't be honoured."""
    _check_shared(request)
    n, best_of = request.n or 1, request.best_of
    if best_of and best_of < n:
        raise invalid(f"'best_of' ({best_of}) must be at least 'n' ({n}).", "best_of")
    if best_of and best_of > n and request.stream:
        raise invalid("The best of several completions is known at their end: 'best_of' can't be streamed.", "best_of")
    if len(request.prompts) * request.candidates > limits.SEQUENCES:
        raise invalid(f"The prompts times 'n' or 'best_of' must be at most {limits.SEQUENCES}.", "prompt")
    if request.suffix and request.echo:
        raise invalid("'suffix' and 'echo' exclude each other.", "suffix")


def _check_shared(request: GenerationFields) -> None:
    if request.stream_options is not None and not request.stream:
        raise invalid("'stream_options' is only allowed when 'stream' is true.", "stream_options")
    if request.post_sampling_probs:
        raise unsupported("'post_sampling_probs' is not supported by this server.", "post_sampling_probs")


def _check_continuation(request: ConversationFields) -> None:
    """Of a last message that is to be continued."""
    if not request.continue_final_message:
        return
    last, param = request.messages[-1], "continue_final_message"
    if request.add_generation_prompt:
        raise invalid("'add_generation_prompt' and 'continue_final_message' exclude each other.", param)
    if not isinstance(last, AssistantMessage):
        raise invalid("Only a last message from the assistant can be continued.", param)
    if last.tool_calls or last.function_call:
        raise invalid("A message with tool calls can't be continued.", param)


def _refuse_services(request: ChatCompletionRequest) -> None:
    if request.modalities and "audio" in request.modalities:
        raise unsupported("This model has no audio output: 'modalities' can only be ['text'].", "modalities")
    if request.audio is not None:
        raise unsupported("This model has no audio output.", "audio")
    if request.web_search_options is not None:
        raise unsupported("This server has no web search.", "web_search_options")
    if request.moderation is not None:
        raise unsupported("This server has no moderation.", "moderation")


def _refuse_media(messages: Sequence[Message]) -> None:
    for position, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and message.audio is not None:
            raise unsupported("This model has no audio.", f"messages[{position}].audio")
        if not isinstance(message, UserMessage) or isinstance(message.content, str):
            continue
        for index, part in enumerate(message.content):
            if part.type != "text":
                where = f"messages[{position}].content[{index}]"
                raise unsupported(f"This model does not take {_MEDIA[part.type]}: only text.", where)
