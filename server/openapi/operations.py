"""What routes don't say of themselves: what each endpoint takes, what it answers, and how it can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from server.native.answer import Final, Piece
from server.routes import (
    apply_template,
    chat,
    completions,
    health,
    load,
    lora,
    metrics,
    models,
    native_completion,
    openapi,
    props,
    slots,
    tokenize,
)
from server.schemas.chat import ChatCompletionRequest
from server.schemas.chat_response import ChatCompletion, ChatCompletionChunk
from server.schemas.completion import CompletionRequest
from server.schemas.completion_response import Completion, CompletionChunk
from server.schemas.lora import LoadAdapterRequest, LoadedAdapter, ScaleAdaptersRequest, UnloadAdapterRequest
from server.schemas.models import Model, ModelList, Success
from server.schemas.native import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    InfillRequest,
    ModelRequest,
    NativeCompletionRequest,
    TokenizeRequest,
)
from server.schemas.native_response import (
    ApplyTemplateResponse,
    DetokenizeResponse,
    Health,
    ManyProps,
    Props,
    Slot,
    TokenizeResponse,
)

ERRORS: Mapping[int, str] = {
    400: "The body or one of its fields can't be taken as it is: `param` names the field.",
    401: "No key, or a wrong one.",
    403: "The key is no admin key, or the server doesn't do this over HTTP.",
    404: "There is no such model for this key: the message lists those there are.",
    408: "The rest of the body doesn't come.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "Too many requests are waiting, or the key has used up what it may.",
    500: "The engine failed: the log says why.",
    501: "Nothing can be changed.",
    503: "No request is run now: the model is loading, the engine restarting, or the server shutting down.",
    504: "The request took longer than it is allowed to.",
}
BUSY = frozenset({429, 503})
"""Statuses that come with `Retry-After`."""

_BODY = (400, 408, 413, 415)
_TEXT_WORK = (*_BODY, 404, 429, 500, 503, 504)
_GENERATION = (*_BODY, 404, 429, 500, 503, 504)

_CHUNKS = "The `data` of each is a chunk, that of the last one `[DONE]`."
_PIECES = "The `data` of each is a piece, and for each completion there is a last one with all of it but the text."


@dataclass(frozen=True, kw_only=True)
class Operation:
    summary: str
    tag: str
    body: type[BaseModel] | None = None
    example: Mapping[str, Any] | list[Any] = field(default_factory=dict)
    """Of a body; `model` is added where it is required."""
    answers: tuple[Any, ...] = ()
    """Types of a 200's JSON; none: it isn't JSON, or there is no 200."""
    events: tuple[Any, ...] = ()
    """Types of a stream's events."""
    stream: str = ""
    """How a stream is made of them."""
    text: tuple[str, ...] = ()
    """Media types of a 200 that is text."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters, and what they mean."""
    errors: tuple[int, ...] = ()


OPENAI, LLAMA_SERVER, VLLM, WATCHING = "OpenAI's", "llama-server's", "vLLM's", "for operators"

_HELLO = [{"role": "user", "content": "What is the capital of France?"}]

OPERATIONS: Mapping[Callable[..., Any], Operation] = {
    chat.chat_completions: Operation(
        summary="Continue a conversation",
        tag=OPENAI,
        body=ChatCompletionRequest,
        example={"messages": _HELLO, "max_tokens": 16},
        answers=(ChatCompletion,),
        events=(ChatCompletionChunk,),
        stream=_CHUNKS,
        errors=_GENERATION,
    ),
    completions.completions: Operation(
        summary="Continue texts",
        tag=OPENAI,
        body=CompletionRequest,
        example={"prompt": "The capital of France is", "max_tokens": 8},
        answers=(Completion,),
        events=(CompletionChunk,),
        stream=_CHUNKS,
        errors=_GENERATION,
    ),
    models.list_models: Operation(
        summary="The models, each under all of its ids",
        tag=OPENAI,
        answers=(ModelList,),
        query={"reload": "Anything: read the folder and the presets of models again."},
        errors=(500, 503),
    ),
    models.get_model: Operation(summary="A model, by one of its ids", tag=OPENAI, answers=(Model,), errors=(404, 503)),
    native_completion.completion: Operation(
        summary="Continue texts",
        tag=LLAMA_SERVER,
        body=NativeCompletionRequest,
        example={"prompt": "The capital of France is", "n_predict": 8},
        answers=(Final, list[Final], dict[str, Any]),
        events=(Piece, Final, dict[str, Any]),
        stream=_PIECES,
        errors=_GENERATION,
    ),
    native_completion.infill: Operation(
        summary="Fill the gap between two texts",
        tag=LLAMA_SERVER,
        body=InfillRequest,
        example={"input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n", "n_predict": 8},
        answers=(Final, list[Final], dict[str, Any]),
        events=(Piece, Final, dict[str, Any]),
        stream=_PIECES,
        errors=_GENERATION,
    ),
    tokenize.tokenize: Operation(
        summary="Text to tokens",
        tag=LLAMA_SERVER,
        body=TokenizeRequest,
        example={"content": "Hello"},
        answers=(TokenizeResponse,),
        errors=_TEXT_WORK,
    ),
    tokenize.detokenize: Operation(
        summary="Tokens to text",
        tag=LLAMA_SERVER,
        body=DetokenizeRequest,
        example={"tokens": [72]},
        answers=(DetokenizeResponse,),
        errors=_TEXT_WORK,
    ),
    apply_template.apply_template: Operation(
        summary="The prompt that messages become",
        tag=LLAMA_SERVER,
        body=ApplyTemplateRequest,
        example={"messages": _HELLO},
        answers=(ApplyTemplateResponse,),
        errors=_TEXT_WORK,
    ),
    props.props: Operation(
        summary="A model and its defaults",
        tag=LLAMA_SERVER,
        answers=(Props, ManyProps),
        query={"model": "One of its ids."},
        errors=(400, 404, 429, 500, 503, 504),
    ),
    props.change_props: Operation(summary="Not supported: nothing can be changed", tag=LLAMA_SERVER, errors=(501, 503)),
    slots.slots: Operation(
        summary="What is being computed",
        tag=LLAMA_SERVER,
        answers=(list[Slot],),
        query={"model": "One of its ids.", "fail_on_no_slot": "Anything: answer with a 503 if no slot is free."},
        errors=(404, 503),
    ),
    load.load_model: Operation(
        summary="Load a model", tag=LLAMA_SERVER, body=ModelRequest, answers=(Success,), errors=(*_BODY, 404, 503)
    ),
    load.unload_model: Operation(
        summary="Unload a model", tag=LLAMA_SERVER, body=ModelRequest, answers=(Success,), errors=(*_BODY, 404, 503)
    ),
    lora.list_adapters: Operation(
        summary="The LoRA adapters of a model",
        tag=LLAMA_SERVER,
        answers=(list[LoadedAdapter],),
        query={"model": "One of its ids."},
        errors=(404, 503),
    ),
    lora.scale_adapters: Operation(
        summary="Apply LoRA adapters to all requests that don't say which they want",
        tag=LLAMA_SERVER,
        body=ScaleAdaptersRequest,
        example=[{"id": 0, "scale": 0.5}],
        answers=(Success,),
        query={"model": "One of the model's ids."},
        errors=(*_BODY, 404, 503),
    ),
    lora.load_adapter: Operation(
        summary="Serve a LoRA adapter under a name",
        tag=VLLM,
        body=LoadAdapterRequest,
        example={"lora_name": "sql", "lora_path": "sql.gguf"},
        text=("text/plain",),
        errors=(*_BODY, 403, 404, 500, 503),
    ),
    lora.unload_adapter: Operation(
        summary="Serve it no longer",
        tag=VLLM,
        body=UnloadAdapterRequest,
        example={"lora_name": "sql"},
        text=("text/plain",),
        errors=(*_BODY, 404, 503),
    ),
    health.health: Operation(
        summary="Whether a request sent now would be run", tag=WATCHING, answers=(Health,), errors=(503,)
    ),
    health.livez: Operation(summary="Whether the process answers", tag=WATCHING, answers=(Health,)),
    metrics.metrics: Operation(
        summary="Prometheus metrics", tag=WATCHING, text=("text/plain", "application/openmetrics-text")
    ),
    openapi.openapi: Operation(summary="This document", tag=WATCHING, answers=(dict[str, Any],), errors=(503,)),
}
"""By the function that answers."""
