"""`POST /v1/completions`."""

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
from server import limits, sse
from server.access.caller import caller_of
from server.body import read_body
from server.connection import unless_gone
from server.errors import invalid
from server.generation import Generation, TextDelta
from server.merge import merge
from server.prompt import completion_tokens, infill_tokens, room_for
from server.routes.completion_choice import Choice, Echo
from server.sampling import sampling_params
from server.schemas.completion import CompletionRequest
from server.schemas.completion_response import Completion, CompletionChoice, CompletionChunk, CompletionChunkChoice
from server.schemas.logprobs import completion_logprobs
from server.schemas.rules import check_completion
from server.schemas.usage import Timings, Usage, progress_of, usage
from server.state import fingerprint, state_of
from server.structured.content import completion_grammar, structure_field


async def completions(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(CompletionRequest, request, state.limits)
    check_completion(body)
    served = state.resolve(body.model, request)
    deadline = state.deadline()

    async def prepared() -> _Run:
        run = await _prepare(await state.backend(request, served, body.lora), body)
        generations = [prompt.generation for prompt in run.prompts]
        caller_of(request).reserve(generations, bounded=body.completion_limit is not None)
        return run

    if body.stream:
        ping = state.sse_ping_interval if body.sse_ping_interval is None else body.sse_ping_interval
        events = await sse.begun(request, prepared, _chunks, deadline=deadline, waits=not served.model.loaded)
        return await sse.stream(request, events, ping=ping, deadline=deadline)
    run = await unless_gone(request, prepared(), deadline)
    answer = await unless_gone(request, _answer(run), deadline)
    return Response(msgspec.json.encode(answer), media_type="application/json")


@dataclass(frozen=True)
class _Prompt:
    """One of a request's prompts, ready to run: what it generates, and what is given back before."""

    generation: Generation
    echo: Echo | None
    choices: list[Choice]


@dataclass(frozen=True)
class _Run:
    """A request that is ready to run."""

    id: str
    body: CompletionRequest
    prompts: list[_Prompt]
    fingerprint: str
    created: int


async def _prepare(backend: Backend, body: CompletionRequest) -> _Run:
    run_id = f"cmpl-{uuid.uuid4().hex}"
    sampling = await sampling_params(body, backend.model.sampling_defaults, backend.tokenizer)
    grammar = await completion_grammar(body, body.response_format)
    limit = body.completion_limit
    asked = body.max_tokens is not None or (body.n_predict or -1) >= 0
    selects = body.candidates > (body.n or 1)
    tokenized = [await _tokens(backend, body, prompt, number) for number, prompt in enumerate(body.prompts)]
    _check_echo(body, tokenized)
    prompts = []
    for number, (prompt, tokens) in enumerate(zip(body.prompts, tokenized, strict=True)):
        request = GenerateRequest(
            id=f"{run_id}-{number}",
            prompt=tokens,
            max_tokens=room_for(backend.model.n_ctx, len(tokens), limit, asked=asked, param="prompt"),
            sampling=sampling,
            n=body.candidates,
            logprobs=0 if body.logprobs is None and selects else body.logprobs,
            prompt_logprobs=body.logprobs if body.echo else None,
            cache_prompt=body.cache_prompt is not False,
            grammar=grammar,
        )
        info = backend.tokenizer.info
        text, given = (prompt, tokens) if isinstance(prompt, str) else (None, prompt)
        told = Echo(info, text, given) if _tells(body) else None
        choices = [Choice(info, len(told.text) if told else 0) for _ in range(body.candidates)]
        field = structure_field(body, body.response_format)
        generation = Generation(backend, request, stop=body.stop_strings, grammar_field=field)
        prompts.append(_Prompt(generation, told if body.echo else None, choices))
    return _Run(run_id, body, prompts, fingerprint(backend.model), int(time.time()))


def _check_echo(body: CompletionRequest, prompts: list[list[int]]) -> None:
    """Raises a 400 for an answer that would tell too much of its prompts."""
    if body.echo and body.logprobs is not None and sum(map(len, prompts)) * (body.n or 1) > limits.ECHOED:
        raise invalid(f"'echo' with 'logprobs' can tell of at most {limits.ECHOED} prompt tokens in all.", "echo")


def _tells(body: CompletionRequest) -> bool:
    """Whether the answer tells of the prompt: its text, or where it ends."""
    return bool(body.echo) or body.logprobs is not None


async def _tokens(backend: Backend, body: CompletionRequest, prompt: str | list[int], number: int) -> list[int]:
    if body.suffix:
        return await infill_tokens(backend.tokenizer, prompt, body.suffix)
    param = f"prompt[{number}]" if len(body.prompts) > 1 else "prompt"
    return await completion_tokens(backend.tokenizer, prompt, param)


async def _answer(run: _Run) -> Completion:
    """Run to the end, choose among candidates and put the choices together."""
    async with aclosing(merge([prompt.generation.events() for prompt in run.prompts])) as events:
        async for number, event in events:
            prompt = run.prompts[number]
            if isinstance(event, TextDelta):
                prompt.choices[event.index].take(event, tell=run.body.logprobs is not None)
            elif prompt.echo is not None:
                prompt.echo.score(event.logprobs)
    n = run.body.n or 1
    choices = [
        await _choice(run.body, prompt.echo, choice, number * n + rank)
        for number, prompt in enumerate(run.prompts)
        for rank, choice in enumerate(_best(prompt.choices, n))
    ]
    return Completion(
        id=run.id,
        created=run.created,
        model=run.body.model,
        choices=choices,
        usage=_usage(run),
        system_fingerprint=run.fingerprint,
        timings=_timings(run),
    )


def _best(choices: list[Choice], n: int) -> list[Choice]:
    if len(choices) == n:
        return choices
    return sorted(choices, key=lambda choice: choice.mean_logprob, reverse=True)[:n]


async def _choice(body: CompletionRequest, echo: Echo | None, choice: Choice, index: int) -> CompletionChoice:
    text, logprobs = choice.text, choice.logprobs
    if echo is not None:
        text = echo.text + text
        if body.logprobs is not None:
            logprobs = completion_logprobs(())
            logprobs.extend(await echo.logprobs())
            logprobs.extend(choice.logprobs)
    return CompletionChoice(index, text, logprobs if body.logprobs is not None else None, choice.finish_reason)


async def _chunks(run: _Run) -> AsyncGenerator[bytes, None]:
    """The prompt's text if it is to be given back, text chunks, finish chunks, then the usage chunk if asked for."""
    body = run.body
    n = body.n or 1
    running = n * len(run.prompts)
    echoed = [False] * len(run.prompts)
    async with aclosing(merge([prompt.generation.events() for prompt in run.prompts])) as events:
        async for number, event in events:
            prompt = run.prompts[number]
            if isinstance(event, PromptProgress):
                if prompt.echo is not None:
                    prompt.echo.score(event.logprobs)
                if body.return_progress:
                    yield _chunk(run, CompletionChunkChoice(number * n, ""), progress=(prompt, event))
                continue
            if prompt.echo is not None and not echoed[number]:
                echoed[number] = True
                for index in range(n):
                    yield await _echo_chunk(run, prompt.echo, number * n + index)
            index = number * n + event.index
            logprobs = None
            if body.logprobs is not None and (event.text or event.tokens):
                logprobs = prompt.choices[event.index].placed(event.tokens)
            if event.text:
                choice = CompletionChunkChoice(index, event.text, logprobs)
                yield _chunk(run, choice, timed=bool(body.timings_per_token))
                logprobs = None
            if event.finish_reason is not None:
                running -= 1
                last = running == 0 and not body.include_usage
                # with the tokens that have no text: control tokens, and one whose end a stop string has cut off
                yield _chunk(run, CompletionChunkChoice(index, "", logprobs, event.finish_reason), timed=last)
    if body.include_usage:
        yield _chunk(run, None, timed=True)


async def _echo_chunk(run: _Run, echo: Echo, index: int) -> bytes:
    logprobs = await echo.logprobs() if run.body.logprobs is not None else None
    return _chunk(run, CompletionChunkChoice(index, echo.text, logprobs))


def _chunk(
    run: _Run,
    choice: CompletionChunkChoice | None,
    *,
    timed: bool = False,
    progress: tuple[_Prompt, PromptProgress] | None = None,
) -> bytes:
    """An encoded chunk with one choice, or the usage chunk with none."""
    body = run.body
    chunk = CompletionChunk(
        id=run.id,
        created=run.created,
        model=body.model,
        choices=[] if choice is None else [choice],
        system_fingerprint=run.fingerprint,
    )
    if choice is None:
        chunk.usage = _usage(run)
    elif body.include_usage:
        chunk.usage = None
    if timed:
        chunk.timings = _timings(run)
    if progress is not None:
        generation = progress[0].generation
        chunk.prompt_progress = progress_of(progress[1], generation.usage.prompt_tokens, generation.timings.started)
    if body.include_obfuscation and choice is not None and choice.text:
        chunk.obfuscation = sse.padding(choice.text)
    return sse.event(chunk)


def _usage(run: _Run) -> Usage:
    spent = [prompt.generation.usage for prompt in run.prompts]
    return usage(
        sum(part.prompt_tokens for part in spent),
        sum(part.cached_tokens for part in spent),
        sum(part.completion_tokens for part in spent),
    )


def _timings(run: _Run) -> Timings:
    """Of the prompt that is the slowest to be done: the others ran beside it."""
    return max(
        (prompt.generation.timings for prompt in run.prompts), key=lambda timings: timings.last_token or 0.0
    ).as_dict()


routes = [Route("/completions", completions, methods=["POST"])]
