"""Many clients at a time: each gets its own answer, and nothing is left behind."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from openai import AsyncOpenAI

from .serving import DEMO, Server, serving

QUESTIONS = [
    "What is the capital of France?",
    "Count from 1 to 40.",
    "Tell me a story about a fox.",
    "What is 3 plus 4?",
    "Hello!",
    "Repeat after me: blue green red",
    "Tell me a long story about a cat.",
    "What is the opposite of hot?",
]
SAMPLERS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 0.7, "extra_body": {"mirostat": 2}},
    {"temperature": 0.9, "extra_body": {"tfs_z": 0.9, "typical_p": 0.9}},
    {"temperature": 0.8, "extra_body": {"dry_multiplier": 0.8, "repeat_penalty": 1.1}},
    {"temperature": 1.0, "extra_body": {"xtc_probability": 0.3, "top_n_sigma": 2.0}},
]


async def stream(
    client: AsyncOpenAI, question: str, patience: int | None = None, **options: Any
) -> tuple[str, str | None]:
    """The text and how it ended; `patience`: chunks after which this client goes away."""
    messages: Any = [{"role": "user", "content": question}]
    chunks = await client.chat.completions.create(model=DEMO, messages=messages, stream=True, **options)
    text, reason, ids = "", None, set()
    async for chunk in chunks:
        ids.add(chunk.id)
        assert len(ids) == 1, "another client's chunk"
        text += chunk.choices[0].delta.content or ""
        reason = chunk.choices[0].finish_reason or reason
        if patience is not None and (patience := patience - 1) <= 0:
            await chunks.close()
            break
    return text, reason


LONGEST = 150
"""Tokens. Further on, the demo model is unsure how far it counts: then it depends on the company in a batch."""


async def alone(client: AsyncOpenAI) -> dict[str, str]:
    """What each question's greedy answer is when nobody else asks."""
    return {question: (await stream(client, question, temperature=0, max_tokens=LONGEST))[0] for question in QUESTIONS}


def check_cells(server: Server) -> None:
    """Only the prefix cache holds cells."""
    server.settled()
    assert server.metric("paddock_kv_cache_cells_used") == server.metric("paddock_prefix_cache_cells")


async def test_sixty_four_streams(demo: Server) -> None:
    async with demo.async_client() as client:
        expected = await alone(client)
        random.seed(1)
        jobs = [(QUESTIONS[i % 8], SAMPLERS[i % 5], random.choice([LONGEST, 5, 30])) for i in range(64)]
        answers = await asyncio.gather(
            *(stream(client, question, max_tokens=limit, **sampler) for question, sampler, limit in jobs)
        )
    for (question, sampler, limit), (text, reason) in zip(jobs, answers, strict=True):
        assert reason in ("stop", "length") and text
        if sampler == {"temperature": 0}:
            assert text == expected[question] if limit == LONGEST else expected[question].startswith(text)
    check_cells(demo)


async def test_a_third_of_the_clients_vanishes(demo: Server) -> None:
    async with demo.async_client() as client:
        expected = await alone(client)
        jobs = [(QUESTIONS[i % 8], 1 + i % 9 if i % 3 == 0 else None) for i in range(63)]
        answers = await asyncio.gather(
            *(stream(client, question, patience, temperature=0, max_tokens=LONGEST) for question, patience in jobs)
        )
    for (question, patience), (text, reason) in zip(jobs, answers, strict=True):
        assert expected[question].startswith(text)
        if patience is None:
            assert text == expected[question] and reason is not None
    check_cells(demo)


async def test_a_pool_too_small_for_the_load_changes_no_text(demo: Server) -> None:
    questions = [q for q in QUESTIONS if "story" in q or "Count" in q] * 4
    async with demo.async_client() as client:
        expected = await alone(client)
    with serving("--ctx-size", "512", "--cache-ram", "0") as small:
        async with small.async_client() as client:
            answers = await asyncio.gather(*(stream(client, q, temperature=0, max_tokens=LONGEST) for q in questions))
        assert [text for text, _ in answers] == [expected[q] for q in questions]
        assert small.metric("paddock_num_preemptions_total") > 0
        check_cells(small)
