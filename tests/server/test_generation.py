"""A request's run, on a backend that replays a script: deltas, stop strings, cancelling, counting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import (
    BackendError,
    EngineStats,
    GenerateRequest,
    GenerationEvent,
    InvalidGrammar,
    ModelInfo,
    PromptProgress,
    SamplingParams,
    TokenChunk,
    Tokenizer,
    TokenizerInfo,
    TokenLogprob,
)
from server.errors import APIError
from server.generation import Generation, TextDelta

CONTROL = 256


class ByteTokenizer:
    """Token i is byte i; token 256 is control markup."""

    info = TokenizerInfo(
        pieces=[*(bytes([b]) for b in range(256)), b"<|end|>"],
        control_tokens=frozenset({CONTROL}),
        eog_tokens=frozenset({CONTROL}),
        bos=None,
        eos=CONTROL,
        eot=None,
        add_bos=False,
        add_eos=False,
        fim_prefix=None,
        fim_suffix=None,
        fim_middle=None,
        fim_pad=None,
        fim_repo=None,
        fim_separator=None,
    )

    async def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return list(text.encode())


class ScriptedBackend:
    """Sends `events`, then raises `failure`, or waits for ever if `hang`."""

    model: ModelInfo
    ready = True
    stats = EngineStats()

    def __init__(
        self, events: list[GenerationEvent], *, failure: BackendError | None = None, hang: bool = False
    ) -> None:
        self.tokenizer: Tokenizer = ByteTokenizer()
        self.events, self.failure, self.hang = events, failure, hang
        self.cancelled: list[int] = []
        self.closed = False

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerationEvent]:
        try:
            for event in self.events:
                yield event
            if self.failure is not None:
                raise self.failure
            if self.hang:
                await asyncio.Event().wait()
        finally:
            self.closed = True

    def cancel(self, request_id: str, index: int) -> None:
        self.cancelled.append(index)

    async def stop(self) -> None:
        pass


def chunk(text: str | bytes, index: int = 0, finish: str | None = None) -> TokenChunk:
    data = text.encode() if isinstance(text, str) else text
    return TokenChunk("r", index, list(data), finish_reason=finish)  # type: ignore[arg-type]


def request(n: int = 1) -> GenerateRequest:
    return GenerateRequest(id="r", prompt=[1, 2, 3], max_tokens=100, sampling=SamplingParams(), n=n)


async def collect(generation: Generation) -> list[TextDelta]:
    async with aclosing(generation.events()) as events:
        return [event async for event in events if isinstance(event, TextDelta)]


def spelled(deltas: list[TextDelta]) -> bytes:
    return b"".join(token.piece for delta in deltas for token in delta.tokens)


async def test_text_tokens_and_usage() -> None:
    progress = PromptProgress("r", processed=3, cached=2, queued=0.0, done=True)
    backend = ScriptedBackend([progress, chunk("Hi"), chunk(" there"), chunk("", finish="stop")])
    generation = Generation(backend, request())
    deltas = await collect(generation)
    assert [(d.text, d.finish_reason, d.stop_string) for d in deltas] == [
        ("Hi", None, None),
        (" there", None, None),
        ("", "stop", None),
    ]
    assert spelled(deltas) == b"Hi there"
    usage = generation.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 2, 8)
    timings = generation.timings.as_dict()
    assert (timings["prompt_n"], timings["cache_n"], timings["predicted_n"]) == (1, 2, 8)


async def test_a_stop_string_cancels_its_choice_only() -> None:
    events: list[GenerationEvent] = [
        chunk("a.", 0),
        chunk("x", 1),
        chunk("ignored", 0),
        chunk("y", 1, "length"),
    ]
    backend = ScriptedBackend(events, hang=True)
    generation = Generation(backend, request(2), stop=["."])
    deltas = await collect(generation)
    assert [(d.index, d.text, d.finish_reason, d.stop_string) for d in deltas] == [
        (0, "a", "stop", "."),
        (1, "x", None, None),
        (1, "y", "length", None),
    ]
    assert backend.cancelled == [0]
    assert backend.closed
    assert generation.usage.completion_tokens == 4


async def test_tokens_wait_for_their_text() -> None:
    emoji = "🦙".encode()
    events: list[GenerationEvent] = [chunk(emoji[:2]), chunk(emoji[2:] + b"<"), chunk("b"), chunk(b"", finish="stop")]
    deltas = await collect(Generation(ScriptedBackend(events), request(), stop=["<end>"]))
    assert [(d.text, bytes(t.id for t in d.tokens)) for d in deltas] == [("🦙", emoji), ("<b", b"<b"), ("", b"")]


async def test_a_character_cut_off_by_the_limit_is_one_replacement() -> None:
    deltas = await collect(Generation(ScriptedBackend([chunk(b"a\xf0\x9f", finish="length")]), request()))
    assert [(d.text, d.finish_reason) for d in deltas] == [("a\ufffd", "length")]
    assert spelled(deltas) == b"a\xf0\x9f"


async def test_tokens_of_the_stop_string_are_counted_but_not_shown() -> None:
    generation = Generation(ScriptedBackend([chunk("ab"), chunk("STOPxyz")]), request(), stop=["STOP"])
    deltas = await collect(generation)
    assert spelled(deltas) == b"ab"
    assert generation.usage.completion_tokens == 6


async def test_control_tokens_show_when_special() -> None:
    events: list[GenerationEvent] = [TokenChunk("r", 0, [CONTROL, 65], finish_reason="stop")]
    assert (await collect(Generation(ScriptedBackend(events), request())))[0].text == "A"
    assert (await collect(Generation(ScriptedBackend(events), request(), special=True)))[0].text == "<|end|>A"


async def test_logprobs_carry_bytes() -> None:
    logprob = TokenLogprob(-0.5, [(65, -0.5), (66, -1.5)])
    events: list[GenerationEvent] = [TokenChunk("r", 0, [65], logprobs=[logprob], finish_reason="length")]
    (delta,) = await collect(Generation(ScriptedBackend(events), request()))
    (token,) = delta.tokens
    assert (token.id, token.piece, token.logprob) == (65, b"A", -0.5)
    assert token.top == [(65, b"A", -0.5), (66, b"B", -1.5)]


async def test_leaving_early_closes_the_run() -> None:
    backend = ScriptedBackend([chunk("a"), chunk("b")], hang=True)
    async with aclosing(Generation(backend, request()).events()) as events:
        async for _ in events:
            break
    assert backend.closed


async def test_a_run_that_breaks_off_is_an_error() -> None:
    with pytest.raises(BackendError):
        await collect(Generation(ScriptedBackend([chunk("a")]), request()))


async def test_a_grammar_that_cannot_be_used_is_the_fields_that_it_came_from() -> None:
    backend = ScriptedBackend([], failure=InvalidGrammar("the output's grammar can't be used: no"))
    with pytest.raises(APIError) as caught:
        await collect(Generation(backend, request(), grammar_field="response_format"))
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "response_format", "invalid_value")
    assert caught.value.message == "the output's grammar can't be used: no"


pieces = st.lists(st.one_of(st.binary(max_size=3), st.text("ab🦙é", max_size=3).map(str.encode)), max_size=15)


@given(pieces, st.lists(st.text("ab🦙é", min_size=1, max_size=3), max_size=3))
def test_any_chunking_gives_the_same_text_and_aligned_tokens(data: list[bytes], stops: list[str]) -> None:
    async def run(events: list[GenerationEvent]) -> tuple[str, str | None, bytes, int]:
        generation = Generation(ScriptedBackend(events), request(), stop=stops)
        deltas = await collect(generation)
        assert all(delta.text for delta in deltas[:-1])
        text = "".join(delta.text for delta in deltas)
        return text, deltas[-1].stop_string, spelled(deltas), generation.usage.completion_tokens

    parts: list[GenerationEvent] = [chunk(piece) for piece in data]
    streamed = asyncio.run(run([*parts, chunk("", finish="length")]))
    assert streamed == asyncio.run(run([chunk(b"".join(data), finish="length")]))
    text, stop_string, shown, _ = streamed
    if stop_string is None:
        assert shown.decode("utf-8", "replace") == text == b"".join(data).decode("utf-8", "replace")
    else:
        assert shown.decode("utf-8", "replace").startswith(text)
