"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import Backend, GenerateRequest, PromptProgress
from server import sse
from server.access.caller import caller_of
from server.body import read_body
from server.chat_plan import ChatPlan, plan_chat
from server.connection import unless_gone
from server.generation import Generation, TextDelta, TokenText
from server.hosting.served import Served
from server.prompt import chat_tokens, prediction_tokens, room_for
from server.routes.chat_message import Assembly
from server.routes.chat_reply import Reply
from server.sampling import sampling_params
from server.schemas.chat import ChatCompletionRequest
from server.schemas.chat_response import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FinishReason,
    FirstDelta,
)
from server.schemas.logprobs import chat_logprobs
from server.schemas.rules import check_chat
from server.schemas.usage import Usage, progress_of, usage
from server.state import fingerprint, state_of


async def chat_completions(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(ChatCompletionRequest, request, state.limits)
    check_chat(body)
    served = state.resolve(body.model, request)
    deadline = state.deadline()

    async def prepared() -> _Chat:
        chat = await _prepare(await state.backend(request, served, body.lora), served, body)
        caller_of(request).reserve([chat.generation], bounded=body.completion_limit is not None)
        return chat

    if body.stream:
        ping = state.sse_ping_interval if body.sse_ping_interval is None else body.sse_ping_interval
        events = await sse.begun(request, prepared, _chunks, deadline=deadline, waits=not served.model.loaded)
        return await sse.stream(request, events, ping=ping, deadline=deadline)
    chat = await unless_gone(request, prepared(), deadline)
    answer = await unless_gone(request, _answer(chat), deadline)
    return Response(msgspec.json.encode(answer), media_type="application/json")


@dataclass(frozen=True)
class _Chat:
    """A request that is ready to run."""

    id: str
    body: ChatCompletionRequest
    plan: ChatPlan
    generation: Generation
    replies: list[Reply]
    fingerprint: str
    created: int


async def _prepare(backend: Backend, served: Served, body: ChatCompletionRequest) -> _Chat:
    planned = await plan_chat(served.model.dialect(tools=body.has_tools), body)
    tokens = await chat_tokens(backend.tokenizer, planned.prompt)
    limit = body.completion_limit
    asked = limit is not None
    if body.limit is None:
        limit = served.model.default_max_tokens
    request = GenerateRequest(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        prompt=tokens,
        max_tokens=room_for(backend.model.n_ctx, len(tokens), limit, asked=asked, param="messages"),
        sampling=await sampling_params(body, backend.model.sampling_defaults, backend.tokenizer),
        n=body.n or 1,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        cache_prompt=body.cache_prompt is not False,
        grammar=planned.grammar,
        prediction=await prediction_tokens(backend, body.prediction.text) if body.prediction else [],
    )
    stop = {form for text in body.stop_strings for form in (text, planned.tokens.form(text))}
    generation = Generation(
        backend,
        request,
        stop=sorted(stop),
        instead=planned.tokens.characters,
        grammar_field=planned.grammar_field,
    )
    replies = [Reply(planned) for _ in range(request.n)]
    return _Chat(request.id, body, planned, generation, replies, fingerprint(backend.model), int(time.time()))


async def _answer(chat: _Chat) -> ChatCompletion:
    """Run to the end and put the choices together."""
    n = len(chat.replies)
    answers = [Assembly() for _ in range(n)]
    logprobs = [chat_logprobs(()) for _ in range(n)]
    reasons: list[FinishReason] = ["stop"] * n
    async with aclosing(chat.generation.events()) as events:
        async for event in events:
            if not isinstance(event, TextDelta):
                continue
            reply = chat.replies[event.index]
            answers[event.index].add(reply.take(event))
            if chat.body.logprobs:
                logprobs[event.index].content += chat_logprobs(event.tokens).content
            if event.finish_reason is not None:
                reasons[event.index] = _finish_reason(chat, event)
    choices = [
        ChatChoice(
            index=index,
            message=answers[index].message,
            logprobs=logprobs[index] if chat.body.logprobs else None,
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
    """Role chunks, chunks of what is said, finish chunks, then the usage chunk if it was asked for."""
    body, generation = chat.body, chat.generation
    logprobs, timed = bool(body.logprobs), bool(body.timings_per_token)
    open_choices = len(chat.replies)
    untold: list[list[TokenText]] = [[] for _ in chat.replies]
    """Tokens whose log-probabilities go with the choice's next chunk."""
    started = False
    async with aclosing(generation.events()) as events:
        async for event in events:
            if not started:
                started = True
                first = None if chat.plan.tools.callable else ""  # a message that is only calls has no content
                for index in range(open_choices):
                    yield _chunk(chat, ChunkChoice(index, FirstDelta(first)))
            if isinstance(event, PromptProgress):
                if body.return_progress:
                    yield _chunk(chat, ChunkChoice(0, Delta()), progress=event)
                continue
            index = event.index
            reply, tokens = chat.replies[index], untold[index]
            if logprobs:
                tokens += event.tokens
            for delta in reply.take(event):
                choice = ChunkChoice(index, delta)
                if tokens:
                    choice.logprobs = chat_logprobs(tokens)
                    tokens.clear()
                yield _chunk(chat, choice, timed=timed)
            if event.finish_reason is not None:
                open_choices -= 1
                last = open_choices == 0 and not body.include_usage
                left = chat_logprobs(tokens) if tokens else None
                choice = ChunkChoice(index, Delta(), left, _finish_reason(chat, event))
                yield _chunk(chat, choice, timed=last)
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
    if body.include_obfuscation and choice is not None and (text := choice.delta.text):
        chunk.obfuscation = sse.padding(text)
    return sse.event(chunk)


def _finish_reason(chat: _Chat, last: TextDelta) -> FinishReason:
    reason = chat.replies[last.index].finish_reason(last)
    chat.generation.finish_reasons[last.index] = reason
    return reason


def _usage(chat: _Chat) -> Usage:
    spent = chat.generation.usage
    return usage(
        spent.prompt_tokens,
        spent.cached_tokens,
        spent.completion_tokens,
        spent.accepted_prediction_tokens,
        spent.rejected_prediction_tokens,
        sum(reply.reasoning_tokens for reply in chat.replies),
    )


routes = [Route("/chat/completions", chat_completions, methods=["POST"])]
