"""Text that must match a grammar, on a real engine: always valid, few steps, and nobody else is held up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backends.base import BackendError, InvalidRequest, SamplingParams
from backends.llama_cpp.client import LlamaCppBackend
from server.model_source import find_model
from server.text.detokenizer import detokenize
from tests.models.families import FAMILIES
from tests.models.reference import assert_same_greedy, greedy, kernel_noise

from .engine_runs import EXACT_ENGINE, Run, engine, request, run, settled

HOT = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=1)
ADDRESS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 8},
        "floor": {"type": ["integer", "null"], "maximum": 99, "minimum": 0},
    },
    "required": ["city", "floor"],
    "additionalProperties": False,
}
ORDER = {
    "type": "object",
    "properties": {
        "order_number": {"type": "integer", "minimum": 1, "maximum": 99999},
        "paid": {"type": "boolean"},
        "status": {"enum": ["new", "shipped", "delivered"]},
        "delivery_address": ADDRESS,
    },
    "required": ["order_number", "paid", "status", "delivery_address"],
    "additionalProperties": False,
}
TWO_ORDERS = {"type": "array", "items": ORDER, "minItems": 2, "maxItems": 2}
PROMPT = list(range(20, 60))


def json_grammar(schema: dict[str, Any]) -> str:
    options = {"x-guidance": {"whitespace_flexible": False}}
    return "%llguidance {}\nstart: %json " + json.dumps({**schema, **options})


def lark(body: str) -> str:
    return f"%llguidance {{}}\nstart: {body}\n"


def text(backend: LlamaCppBackend, tokens: list[int]) -> str:
    return detokenize(backend.tokenizer.info, tokens)


def check(backend: LlamaCppBackend, result: Run, schema: dict[str, Any]) -> None:
    for tokens, reason in zip(result.tokens, result.finish_reasons, strict=True):
        assert reason == "stop"
        jsonschema.validate(json.loads(text(backend, tokens)), schema)


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_random_weights_write_what_the_schema_says(gguf, family: str) -> None:
    """In every kind of memory, side by side with free text, hot and greedy."""
    async with engine(gguf(family)) as backend:
        constrained = [request(PROMPT, 300, HOT, grammar=json_grammar(ORDER), n=2) for _ in range(3)]
        constrained.append(request(PROMPT, 300, grammar=json_grammar(ORDER)))
        free = [request(PROMPT, 60, HOT) for _ in range(2)]
        results = await asyncio.gather(*(run(backend, job) for job in constrained + free))
        for result in results[:4]:
            check(backend, result, ORDER)
        assert results[0].tokens[0] != results[0].tokens[1]
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached


async def test_what_the_schema_forces_takes_no_steps_of_its_own(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        result = await run(backend, request(PROMPT, 300, grammar=json_grammar(ORDER)))
        check(backend, result, ORDER)
        stats = await settled(backend)
        written = text(backend, result.tokens[0])
        forced = sum(
            len(key) for key in ('{"order_number":', ',"paid":', ',"status":"', ',"delivery_address":{"city":"')
        )
        assert stats.steps < len(result.tokens[0]) - forced / 8, (stats.steps, written)


async def test_a_text_that_can_only_be_one(gguf) -> None:
    """Longer than what is taken at once, and than a batch; and cut by the limit in its middle."""
    async with engine(gguf("llama"), n_batch=64, n_ubatch=64) as backend:
        wanted = " ".join(f"{i} bottles of water" for i in range(60))
        result = await run(backend, request(PROMPT, 2000, grammar=lark(json.dumps(wanted))))
        assert text(backend, result.tokens[0]) == wanted
        assert result.finish_reasons == ["stop"]
        assert (await settled(backend)).steps < len(result.tokens[0]) / 10
        cut = await run(backend, request(PROMPT, 100, grammar=lark(json.dumps(wanted))))
        assert len(cut.tokens[0]) == 100
        assert cut.finish_reasons == ["length"]
        assert cut.tokens[0] == result.tokens[0][:100]


async def test_every_token_has_its_log_probability(gguf) -> None:
    """And the same seed gives the same text with and without them, though what is forced is computed otherwise."""
    async with engine(gguf("llama"), **EXACT_ENGINE) as backend:
        result = await run(backend, request(PROMPT, 300, HOT, grammar=json_grammar(ORDER), logprobs=2))
        check(backend, result, ORDER)
        assert len(result.logprobs[0]) == len(result.tokens[0])
        assert all(len(entry.top) == 2 for entry in result.logprobs[0])
        assert (await run(backend, request(PROMPT, 300, HOT, grammar=json_grammar(ORDER)))).tokens == result.tokens


@pytest.mark.parametrize("n", [1, 3])
async def test_a_grammar_that_comes_to_nothing_fails_its_request_alone(gguf, n: int) -> None:
    """After "aaa" nothing is allowed, not even the end."""
    async with engine(gguf("llama")) as backend:
        other = asyncio.create_task(run(backend, request(PROMPT, 100)))
        with pytest.raises(BackendError, match="grammar"):
            await run(backend, request(PROMPT, 50, HOT, n=n, grammar=lark('"aaa" NONE\nNONE: /b/ & /c/')))
        assert len((await other).tokens[0]) == 100
        with pytest.raises(InvalidRequest, match="grammar"):
            await run(backend, request(PROMPT, 50, HOT, n=n, grammar=lark("NONE\nNONE: /b/ & /c/")))
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached


@pytest.mark.parametrize("family", ["mamba", "jamba"])
async def test_what_such_a_request_has_computed_serves_others(gguf, family: str) -> None:
    """Its other sequences have been computed in the same batch as the one that fails."""
    prompt = [*PROMPT, 5, 6]
    async with engine(gguf(family)) as backend:
        with pytest.raises(BackendError, match="grammar"):
            await run(backend, request(PROMPT, 50, HOT, n=3, grammar=lark('"aaa" NONE\nNONE: /b/ & /c/')))
        result = await run(backend, request(prompt, 20))
        assert result.cached >= len(PROMPT) - 1
    assert_same_greedy(result.tokens[0], greedy(gguf(family), prompt, 20), kernel_noise(gguf(family)))


@pytest.mark.parametrize("family", ["llama", "swa"])
async def test_drafts_change_nothing(gguf, family: str) -> None:
    """A prediction that is right, one that the grammar forbids half-way, one of another text; and looking up."""
    grammar = json_grammar(TWO_ORDERS)
    async with engine(gguf(family), **EXACT_ENGINE) as backend:
        plain = await run(backend, request(PROMPT, 500, HOT, grammar=grammar))
        answer = plain.tokens[0]
        for prediction in (answer, answer[:40] + answer[20:], list(reversed(answer)), [answer[0]] * 300):
            predicted = await run(backend, request(PROMPT, 500, HOT, grammar=grammar, prediction=prediction))
            assert text(backend, predicted.tokens[0]) == text(backend, answer)
        stats = await settled(backend)
        assert stats.draft_tokens_accepted > 0
        assert stats.cells_used == stats.cells_cached


async def test_a_pool_that_is_too_small_for_all() -> None:
    """Sequences are preempted and computed again; their grammars go on where they were."""
    path = find_model(None)
    async with engine(path, n_ctx=512, n_parallel=8) as backend:
        jobs = [request([*PROMPT, i], 200, HOT, grammar=json_grammar(TWO_ORDERS)) for i in range(12)]
        for result in await asyncio.gather(*(run(backend, job) for job in jobs)):
            if result.finish_reasons == ["stop"]:
                jsonschema.validate(json.loads(text(backend, result.tokens[0])), TWO_ORDERS)
            else:
                assert len(result.tokens[0]) == 200
        assert (await settled(backend)).preemptions > 0


@pytest.mark.parametrize(
    "grammar",
    [
        "",
        "%llguidance {}\nstart: nowhere",
        "%llguidance {}\nstart: /(/",
        '%llguidance {}\nstart: %json {"not": {}}',
        "x" * 10000,
    ],
)
async def test_a_grammar_that_makes_no_sense_is_refused_before_anything_is_computed(gguf, grammar: str) -> None:
    async with engine(gguf("llama")) as backend:
        with pytest.raises(InvalidRequest, match="grammar"):
            await run(backend, request(PROMPT, 10, grammar=grammar))
        assert backend.stats.steps == 0
        assert len((await run(backend, request(PROMPT, 10))).tokens[0]) == 10


async def test_a_deep_grammar_ends_nothing(gguf) -> None:
    """llguidance recurses by its depth; on a thread's usual stack that would end the process."""
    rules = [f'rule{i}: "a" rule{i + 1} | "b"' for i in range(10000)]
    grammar = lark("rule0") + "\n".join([*rules, 'rule10000: "c"'])
    async with engine(gguf("llama")) as backend:
        with suppress(InvalidRequest):
            result = await run(backend, request(PROMPT, 50, HOT, grammar=grammar))
            assert set(text(backend, result.tokens[0])) <= set("abc")
        assert len((await run(backend, request(PROMPT, 10))).tokens[0]) == 10


async def test_bans_and_biases_yield_to_the_grammar(gguf) -> None:
    async with engine(gguf("llama")) as backend:
        brace = await backend.tokenizer.encode("{", add_special=False, parse_special=False)
        stubborn = SamplingParams(
            temperature=0.8, ignore_eos=True, min_tokens=500, logit_bias={token: float("-inf") for token in brace}
        )
        result = await run(backend, request(PROMPT, 300, stubborn, grammar=json_grammar(ORDER)))
        check(backend, result, ORDER)


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=1.5, mirostat=2),
        SamplingParams(temperature=1.5, typical_p=0.3),
        SamplingParams(temperature=1.5, top_k=0, tfs_z=0.5, xtc_probability=1.0),
        SamplingParams(temperature=2.0, repeat_penalty=2.0, repeat_last_n=-1, dry_multiplier=5.0),
        SamplingParams(temperature=1.0, top_n_sigma=1.0, adaptive_target=0.3),
        SamplingParams(temperature=0.0, logit_bias={30: 50.0}),
    ],
)
async def test_every_sampler_draws_from_what_is_allowed(gguf, sampling: SamplingParams) -> None:
    async with engine(gguf("llama")) as backend:
        jobs = [request(PROMPT, 300, sampling, grammar=json_grammar(ORDER), n=2) for _ in range(4)]
        for result in await asyncio.gather(*(run(backend, job) for job in jobs)):
            check(backend, result, ORDER)


async def test_a_slow_grammar_holds_up_nobody(gguf) -> None:
    """Its masks take long: that sequence waits, or fails with a reason; the others don't notice."""
    slow = lark("/([a-z]+)*[^x]{500}(a|b|c|ab|bc){300}/")
    async with engine(gguf("llama")) as backend:
        hostile = asyncio.create_task(run(backend, request(PROMPT, 400, HOT, grammar=slow)))
        await asyncio.sleep(0.3)
        gaps = []
        last = time.monotonic()
        async with aclosing(backend.generate(request(PROMPT, 200))) as events:
            async for _ in events:
                gaps.append(time.monotonic() - last)
                last = time.monotonic()
        assert max(gaps) < 0.5
        hostile.cancel()
        await asyncio.gather(hostile, return_exceptions=True)
        stats = await settled(backend)
        assert stats.cells_used == stats.cells_cached


async def test_cancelled_while_its_grammar_is_compiled(gguf) -> None:
    large = json_grammar({"enum": [f"value number {i}" for i in range(20000)]})
    async with engine(gguf("llama")) as backend:
        for delay in (0.0, 0.01, 0.05):
            task = asyncio.create_task(run(backend, request(PROMPT, 10, grammar=large + " " * round(delay * 100))))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        result = await run(backend, request(PROMPT, 50, HOT, grammar=large))
        assert json.loads(text(backend, result.tokens[0])).startswith("value number ")


async def test_a_real_vocabulary(tmp_path: Path) -> None:
    """The demo model's, with control tokens that only a grammar which names them allows."""
    async with engine(find_model(None)) as backend:
        info = backend.tokenizer.info
        end = info.pieces.index(b"<|im_end|>")
        named = await run(backend, request(PROMPT, 50, HOT, grammar=lark(f'"a" <[{end}]>')))
        assert text(backend, named.tokens[0]) == "a"
        assert named.finish_reasons == ["stop"]
        free = await run(backend, request(PROMPT, 100, HOT, grammar=lark(r"/(.|\n)*/"), n=4))
        for tokens in free.tokens:
            assert not info.control_tokens & set(tokens)


async def test_drafts_under_a_grammar_of_calls() -> None:
    """Optional whitespace, free text and control tokens, where llguidance's `rollback` lost its place."""
    async with engine(find_model(None)) as backend:
        pieces = backend.tokenizer.info.pieces
        opening, closing = (pieces.index(text) for text in (b"<tool_call>", b"</tool_call>"))
        spaced = {"x-guidance": {"item_separator": ", ?", "key_separator": ": ?", "whitespace_flexible": False}}
        city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        rules = [
            "start: SPACE? call (SPACE? call)*",
            f"call: <[{opening}]> arguments <[{closing}]>",
            'arguments: "\\n{\\"name\\": \\"get_weather\\", \\"arguments\\": " json "}" "\\n"',
            f"json: %json {json.dumps(city | spaced)}",
            "SPACE: /[ \\n]{1,2}/",
        ]
        grammar = "%llguidance {}\n" + "\n".join(rules)
        hot = [SamplingParams(temperature=1.0, seed=seed) for seed in range(32)]
        jobs = [request([1, 2, 3, 4, 5], 200, sampling, grammar=grammar) for sampling in hot]
        for result in await asyncio.gather(*(run(backend, job) for job in jobs)):
            assert '{"name": "get_weather", "arguments": {"city":' in text(backend, result.tokens[0])
        assert (await settled(backend)).draft_tokens > 0


ENDLESS = lark("T\n" + "T: " + " & ".join(f"/(.{{{n}}})*x/" for n in range(7, 16)))
"""llguidance's limits don't see how these expressions multiply."""


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never comes")


async def test_who_waits_for_a_grammar_is_counted_until_cancelled(gguf) -> None:
    async with engine(gguf("llama"), grammar_seconds=2.5) as backend:
        waiting = asyncio.create_task(run(backend, request(PROMPT, 10, grammar=ENDLESS, n=3)))
        await until(lambda: backend.stats.waiting == 3)
        waiting.cancel()
        await until(lambda: backend.stats.waiting == 0)
        assert (backend.stats.running, backend.stats.steps) == (0, 0)


async def test_what_takes_for_ever_to_compile_is_refused_and_holds_up_nobody(gguf) -> None:
    """Beside it, another grammar is compiled."""
    async with engine(gguf("llama"), grammar_seconds=2.5) as backend:
        hostile = asyncio.create_task(run(backend, request(PROMPT, 10, grammar=ENDLESS)))
        await asyncio.sleep(0.2)
        check(
            backend, await asyncio.wait_for(run(backend, request(PROMPT, 300, grammar=json_grammar(ORDER))), 3), ORDER
        )
        with pytest.raises(InvalidRequest, match=r"time or memory to compile: more than 2\.5 s"):
            await hostile
