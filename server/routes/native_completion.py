"""llama-server's `POST /completion` and `POST /infill`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import Backend
from server import sse
from server.access.caller import caller_of
from server.body import read_body
from server.connection import unless_gone
from server.fim import ExtraFile, extra_tokens, fim_prompt, fit, markers
from server.hosting.served import Served
from server.native.prompts import mixed_tokens
from server.native.run import Run, answer, check, pieces, prepare, wanted_tokens
from server.prompt import completion_tokens
from server.schemas.native import InfillRequest, NativeCompletionRequest, NativeOptions
from server.state import state_of

Body = TypeVar("Body", bound=NativeOptions)


async def completion(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(NativeCompletionRequest, request, state.limits)
    check(body, len(body.prompt))
    return await _respond(request, body, _completion)


async def infill(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(InfillRequest, request, state.limits)
    check(body)
    return await _respond(request, body, _infill)


async def _completion(backend: Backend, served: Served, body: NativeCompletionRequest) -> Run:
    prompts = []
    for number, prompt in enumerate(body.prompt):
        param = f"prompt[{number}]" if len(body.prompt) > 1 else "prompt"
        if isinstance(prompt, str):
            prompts.append(await completion_tokens(backend.tokenizer, prompt, param))
        else:
            prompts.append(
                await mixed_tokens(backend.tokenizer, prompt, add_special=True, parse_special=True, param=param)
            )
    return await prepare(backend, served, body, prompts)


async def _infill(backend: Backend, served: Served, body: InfillRequest) -> Run:
    prompt = await _infill_prompt(backend, body, wanted_tokens(served.model, body))
    return await prepare(backend, served, body, [prompt])


async def _infill_prompt(backend: Backend, body: InfillRequest, wanted: int | None) -> list[int]:
    """Cut to what the context holds, a part being left for what is generated."""
    tokenizer, n_ctx = backend.tokenizer, backend.model.n_ctx
    marks = markers(tokenizer.info, "input_prefix")
    files = [ExtraFile(file.text, file.filename or "tmp") for file in body.input_extra or ()]
    prefix = [
        *await tokenizer.encode(body.input_prefix, add_special=False, parse_special=False),
        *await tokenizer.encode(body.prompt or "", add_special=False, parse_special=True),
    ]
    suffix = await tokenizer.encode(body.input_suffix, add_special=False, parse_special=False)
    extra = await extra_tokens(tokenizer, files)
    reserved = n_ctx // 4 if wanted is None else min(wanted, n_ctx // 2)
    around = len(fim_prompt(tokenizer.info, marks, (), ()))
    before, after, context = fit(prefix, suffix, extra, n_ctx - reserved - around)
    return fim_prompt(tokenizer.info, marks, before, after, context)


async def _respond(
    request: Request, body: Body, run_of: Callable[[Backend, Served, Body], Coroutine[Any, Any, Run]]
) -> Response:
    state = state_of(request)
    served = state.resolve(body.model or None, request)
    deadline = state.deadline()

    async def prepared() -> Run:
        run = await run_of(await state.backend(request, served, body.lora), served, body)
        bounded = body.limit not in (None, -1)
        caller_of(request).reserve([prompt.generation for prompt in run.prompts], bounded=bounded)
        return run

    if body.stream:
        ping = state.sse_ping_interval if body.sse_ping_interval is None else body.sse_ping_interval
        events = await sse.begun(request, prepared, pieces, deadline=deadline, waits=not served.model.loaded)
        return await sse.stream(request, events, ping=ping, deadline=deadline, done=b"")
    run = await unless_gone(request, prepared(), deadline)
    return Response(await unless_gone(request, answer(run), deadline), media_type="application/json")


routes = [Route("/completion", completion, methods=["POST"]), Route("/infill", infill, methods=["POST"])]
