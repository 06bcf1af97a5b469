"""A native completion's run: prompts in, llama-server's answer out, whole or in pieces."""

from __future__ import annotations

import uuid
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from backends.base import Backend, GenerateRequest, PromptProgress, SamplingParams
from server import limits, sse
from server.errors import invalid, unsupported
from server.generation import Generation, TextDelta, TokenText
from server.hosting.hosted_model import HostedModel
from server.hosting.served import Served
from server.merge import merge
from server.native.answer import Final, Piece, StopType, TokenProbability, probabilities, selected
from server.native.line_limits import LineLimits
from server.native.prompts import biases
from server.native.settings import request_settings
from server.prompt import room_for
from server.sampling import sampling_params
from server.schemas.native import NativeOptions
from server.schemas.usage import progress_of
from server.structured.content import completion_grammar, structure_field


@dataclass
class _Choice:
    """One of the answers, as far as it has come."""

    index: int
    limits: LineLimits
    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    probabilities: list[TokenProbability] = field(default_factory=list)
    stop_type: StopType = "none"
    stopping_word: str = ""
    unused: int = 0
    """Tokens that came together with the one at which a limit ended the choice."""

    @property
    def ended(self) -> bool:
        return self.stop_type != "none"


@dataclass(frozen=True)
class _Prompt:
    """One of a request's prompts, ready to run."""

    tokens: Sequence[int]
    generation: Generation
    choices: list[_Choice]
    clipped: bool
    """Whether the context's end comes before the limit that was asked for."""

    @cached_property
    def text(self) -> str:
        return self.generation.prompt


@dataclass(frozen=True)
class Run:
    """A request that is ready to run."""

    body: NativeOptions
    model: str
    backend: Backend
    sampling: SamplingParams
    prompts: list[_Prompt]


def check(body: NativeOptions, n_prompts: int = 1) -> None:
    """Raises a 400 for what can't be honoured."""
    if n_prompts * body.completions > limits.SEQUENCES:
        raise invalid(f"The prompts times 'n_cmpl' must be at most {limits.SEQUENCES}.", "prompt")
    if body.post_sampling_probs:
        message = "'post_sampling_probs' is not supported: 'n_probs' tells the probabilities before sampling."
        raise unsupported(message, "post_sampling_probs")


def wanted_tokens(model: HostedModel, body: NativeOptions) -> int | None:
    """How many tokens to generate at most; None: to the context's end."""
    limit = model.default_max_tokens if body.limit is None else body.limit
    return None if limit == -1 else limit


async def prepare(backend: Backend, served: Served, body: NativeOptions, prompts: Sequence[list[int]]) -> Run:
    """Raises a 400 for a prompt that leaves no room in the context, and for an output that can't be as it is to be."""
    # the biases' form is llama-server's, which `sampling_params` doesn't know
    sampling = await sampling_params(
        body.model_copy(update={"logit_bias": None}), backend.model.sampling_defaults, backend.tokenizer
    )
    if body.logit_bias:
        by_id = {**sampling.logit_bias, **await biases(backend.tokenizer, body.logit_bias)}
        sampling = msgspec.structs.replace(sampling, logit_bias=by_id)
    grammar = await completion_grammar(body)
    run_id = f"cmpl-{uuid.uuid4().hex}"
    wanted, n = wanted_tokens(served.model, body), body.completions
    run = Run(body, served.name, backend, sampling, [])
    for number, tokens in enumerate(prompts):
        request = GenerateRequest(
            id=f"{run_id}-{number}",
            prompt=tokens,
            max_tokens=room_for(backend.model.n_ctx, len(tokens), wanted, asked=False, param="prompt"),
            sampling=sampling,
            n=n,
            logprobs=body.probabilities or None,
            cache_prompt=body.cache_prompt is not False,
            grammar=grammar,
        )
        line_limits = [LineLimits(body.n_indent or 0, (body.t_max_predict_ms or 0) / 1000) for _ in range(n)]
        run.prompts.append(
            _Prompt(
                tokens,
                Generation(backend, request, stop=body.stop_strings, grammar_field=structure_field(body)),
                [_Choice(number * n + i, limit) for i, limit in enumerate(line_limits)],
                clipped=wanted is None or wanted > request.max_tokens,
            )
        )
    return run


async def answer(run: Run) -> bytes:
    """Run to the end: the JSON of one completion, or a list of several."""
    finals = []
    async with aclosing(merge([prompt.generation.events() for prompt in run.prompts])) as events:
        async for number, event in events:
            if isinstance(event, TextDelta):
                prompt = run.prompts[number]
                for delta in _deltas(prompt, event):
                    if _take(prompt, delta) is not None and run.body.probabilities:
                        prompt.choices[event.index].probabilities += probabilities(delta.tokens)
    for prompt in run.prompts:
        for choice in prompt.choices:
            final = _final(run, prompt, choice)
            final.content = "".join(choice.texts)
            if run.body.return_tokens:
                final.tokens = choice.tokens
            if run.body.probabilities:
                final.completion_probabilities = choice.probabilities
            finals.append(selected(final, run.body.response_fields or ()))
    return msgspec.json.encode(finals[0] if len(finals) == 1 else finals)


async def pieces(run: Run) -> AsyncGenerator[bytes, None]:
    """The events of a stream: pieces as they come, and each choice's final object at its end."""
    body = run.body
    async with aclosing(merge([prompt.generation.events() for prompt in run.prompts])) as events:
        async for number, event in events:
            prompt = run.prompts[number]
            if isinstance(event, PromptProgress):
                if body.return_progress:
                    yield _progress(run, prompt, event)
                continue
            choice = prompt.choices[event.index]
            for delta in _deltas(prompt, event):
                if (text := _take(prompt, delta)) is not None and (text or delta.tokens):
                    yield _piece(run, prompt, choice, text, delta.tokens)
            if choice.ended:
                yield sse.event(selected(_final(run, prompt, choice), body.response_fields or ()))


def _deltas(prompt: _Prompt, delta: TextDelta) -> list[TextDelta]:
    """The same, a token at a time if that matters: a line limit ends the choice at a token, and a step may bring
    several (speculative decoding)."""
    if len(delta.tokens) < 2 or not prompt.choices[delta.index].limits.active:
        return [delta]
    decode = getincrementaldecoder("utf-8")("replace").decode
    texts = [decode(token.piece) for token in delta.tokens]
    if "".join(texts) != delta.text:  # markup that isn't shown, or a character that isn't one
        return [delta]
    parts = [TextDelta(delta.index, text, [token]) for text, token in zip(texts, delta.tokens, strict=True)]
    parts[-1] = msgspec.structs.replace(delta, text=parts[-1].text, tokens=parts[-1].tokens)
    return parts


def _take(prompt: _Prompt, delta: TextDelta) -> str | None:
    """Add to the choice; what is to be kept of the text, or None if the choice has ended before."""
    choice = prompt.choices[delta.index]
    if choice.ended:
        choice.unused += len(delta.tokens)
        return None
    text, ended = choice.limits.take(delta.text)
    choice.texts.append(text)
    choice.tokens += [token.id for token in delta.tokens]
    if ended:
        choice.stop_type = "limit"
        prompt.generation.end(delta.index)
    elif delta.finish_reason == "length":
        choice.stop_type = "limit"
    elif delta.finish_reason == "stop":
        choice.stopping_word = delta.stop_string or ""
        choice.stop_type = "eos" if delta.stop_string is None else "word"
    return text


def _predicted(prompt: _Prompt, choice: _Choice) -> int:
    """Tokens generated so far. With several choices, a stop string's own ones don't count."""
    if len(prompt.choices) == 1 and choice.ended:
        return prompt.generation.usage.completion_tokens - choice.unused
    return len(choice.tokens)


def _piece(run: Run, prompt: _Prompt, choice: _Choice, text: str, tokens: Sequence[TokenText]) -> bytes:
    piece = Piece(
        index=choice.index,
        content=text,
        tokens=[token.id for token in tokens],
        id_slot=_slot(run.body),
        tokens_predicted=len(choice.tokens),
        tokens_evaluated=len(prompt.tokens),
    )
    if run.body.timings_per_token:
        piece.timings = prompt.generation.timings.as_dict()
    if run.body.probabilities:
        piece.completion_probabilities = probabilities(tokens)
    return sse.event(piece)


def _progress(run: Run, prompt: _Prompt, event: PromptProgress) -> bytes:
    total = len(prompt.tokens)
    piece = Piece(
        index=prompt.choices[0].index,
        content="",
        tokens=[],
        id_slot=_slot(run.body),
        tokens_predicted=0,
        tokens_evaluated=total,
        prompt_progress=progress_of(event, total, prompt.generation.timings.started),
    )
    return sse.event(piece)


def _final(run: Run, prompt: _Prompt, choice: _Choice) -> Final:
    predicted = _predicted(prompt, choice)
    # the last token of a text is drawn, but not computed; a token that ends one by itself is not in it
    uncomputed = 1 if predicted and choice.stop_type != "eos" else 0
    return Final(
        index=choice.index,
        content="",
        tokens=[],
        id_slot=_slot(run.body),
        model=run.model,
        tokens_predicted=predicted,
        tokens_evaluated=len(prompt.tokens),
        generation_settings=request_settings(run.body, run.sampling, run.backend.model.drafters),
        prompt=prompt.text,
        has_new_line=choice.limits.has_new_line,
        truncated=prompt.clipped and choice.stop_type == "limit" and _filled(run, prompt, predicted),
        stop_type=choice.stop_type,
        stopping_word=choice.stopping_word,
        tokens_cached=len(prompt.tokens) + predicted - uncomputed,
        timings=prompt.generation.timings.as_dict(),
    )


def _filled(run: Run, prompt: _Prompt, predicted: int) -> bool:
    return len(prompt.tokens) + predicted >= run.backend.model.n_ctx


def _slot(body: NativeOptions) -> int:
    """What the client asked for: a prompt is reused wherever it was computed, so slots mean nothing here."""
    return -1 if body.id_slot is None else body.id_slot
