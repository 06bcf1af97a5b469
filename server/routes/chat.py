"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import FinishReason, GenerateRequest, PromptProgress
from server import sse
from server.body import read_body
from server.connection import unless_gone
from server.generation import Generation, TextDelta, TokenText
from server.prompt import chat_tokens, prediction_tokens, room_for
from server.rendering import rendered
from server.sampling import sampling_params
from server.schemas.chat import ChatCompletionRequest
from server.schemas.chat_response import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    ResponseMessage,
)
from server.schemas.logprobs import ChatLogprobs, chat_logprobs
from server.schemas.rules import check_chat
from server.schemas.usage import Usage, progress_of, usage
from server.state import AppState, fingerprint, state_of


async def chat_completions(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(ChatCompletionRequest, request, state.max_body_bytes)
    check_chat(body)
    state.check_model(body.model)
    deadline = state.deadline()
    chat = await unless_gone(request, _prepare(state, body), deadline)
    if body.stream:
        ping = state.sse_ping_interval if body.sse_ping_interval is None else body.sse_ping_interval
        return await sse.stream(request, _chunks(chat), ping=ping, deadline=deadline)
    answer = await unless_gone(request, _answer(chat), deadline)
    return Response(msgspec.json.encode(answer), media_type="application/json")


@dataclass(frozen=True)
class _Chat:
    """A request that is ready to run."""

    id: str
    body: ChatCompletionRequest
    generation: Generation
    fingerprint: str
    created: int


async def _prepare(state: AppState, body: ChatCompletionRequest) -> _Chat:
    backend = state.loaded()
    prompt = await rendered(state, body.messages, body.add_generation_prompt, body.chat_template_kwargs)
    tokens = await chat_tokens(backend.tokenizer, prompt)
    limit = body.completion_limit
    asked = limit is not None
    if not asked and body.n_predict is None:
        limit = state.default_max_tokens
    request = GenerateRequest(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        prompt=tokens,
        max_tokens=room_for(backend.model.n_ctx, len(tokens), limit, asked=asked, param="messages"),
        sampling=await sampling_params(body, backend.model.sampling_defaults, backend.tokenizer),
        n=body.n or 1,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        cache_prompt=body.cache_prompt is not False,
        prediction=await prediction_tokens(backend, body.prediction.text) if body.prediction else [],
    )
    generation = Generation(backend, request, stop=body.stop_strings)
    return _Chat(request.id, body, generation, fingerprint(backend.model), int(time.time()))


async def _answer(chat: _Chat) -> ChatCompletion:
    """Run to the end and put the choices together."""
    n = chat.body.n or 1
    texts: list[list[str]] = [[] for _ in range(n)]
    tokens: list[list[TokenText]] = [[] for _ in range(n)]
    reasons: list[FinishReason] = ["stop"] * n
    async with aclosing(chat.generation.events()) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                texts[event.index].append(event.text)
                tokens[event.index] += event.tokens
                reasons[event.index] = event.finish_reason or reasons[event.index]
    choices = [
        ChatChoice(
            index=index,
            message=ResponseMessage(content="".join(texts[index])),
            logprobs=_logprobs(chat.body, tokens[index]),
            finish_reason=reasons[index],
        )
        for index in range(n)
    ]
    return ChatCompletion(
        id=chat.id,
        created=chat.created,
        model=chat.body.model,
        choices=choices,
        usage=_usage(chat),
        system_fingerprint=chat.fingerprint,
        service_tier="default" if chat.body.service_tier is not None else None,
        timings=chat.generation.timings.as_dict(),
    )


async def _chunks(chat: _Chat) -> AsyncGenerator[bytes, None]:
    """Role chunks, content chunks, finish chunks, then the usage chunk if it was asked for."""
    body, generation = chat.body, chat.generation
    open_choices = body.n or 1
    started = False
    async with aclosing(generation.events()) as events:
        async for event in events:
            if not started:
                started = True
                for index in range(open_choices):
                    yield _chunk(chat, ChunkChoice(index, Delta(role="assistant", content="", refusal=None)))
            if isinstance(event, PromptProgress):
                if body.return_progress:
                    yield _chunk(chat, ChunkChoice(0, Delta()), progress=event)
                continue
            if event.text:
                choice = ChunkChoice(event.index, Delta(content=event.text), _logprobs(body, event.tokens))
                yield _chunk(chat, choice, timed=bool(body.timings_per_token))
            if event.finish_reason is not None:
                open_choices -= 1
                last = open_choices == 0 and not body.include_usage
                # tokens without a text of their own: control tokens, and one whose end a stop string has cut off
                logprobs = _logprobs(body, event.tokens) if event.tokens and not event.text else None
                yield _chunk(chat, ChunkChoice(event.index, Delta(), logprobs, event.finish_reason), timed=last)
    if body.include_usage:
        yield _chunk(chat, None, timed=True)


def _chunk(
    chat: _Chat, choice: ChunkChoice | None, *, timed: bool = False, progress: PromptProgress | None = None
) -> bytes:
    """An encoded chunk with one choice, or the usage chunk with none."""
    body, spent = chat.body, chat.generation.usage
    chunk = ChatCompletionChunk(
        id=chat.id,
        created=chat.created,
        model=body.model,
        choices=[] if choice is None else [choice],
        system_fingerprint=chat.fingerprint,
        service_tier="default" if body.service_tier is not None else None,
    )
    if choice is None:
        chunk.usage = _usage(chat)
    elif body.include_usage:
        chunk.usage = None
    if timed:
        chunk.timings = chat.generation.timings.as_dict()
    if progress is not None:
        chunk.prompt_progress = progress_of(progress, spent.prompt_tokens, chat.generation.timings.started)
    if body.include_obfuscation and choice is not None and choice.delta.content:
        chunk.obfuscation = sse.padding(choice.delta.content)
    return sse.event(chunk)


def _usage(chat: _Chat) -> Usage:
    spent = chat.generation.usage
    return usage(
        spent.prompt_tokens,
        spent.cached_tokens,
        spent.completion_tokens,
        spent.accepted_prediction_tokens,
        spent.rejected_prediction_tokens,
    )


def _logprobs(body: ChatCompletionRequest, tokens: Iterable[TokenText]) -> ChatLogprobs | None:
    return chat_logprobs(tokens) if body.logprobs else None


routes = [Route("/chat/completions", chat_completions, methods=["POST"])]
