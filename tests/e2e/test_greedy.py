"""Greedy answers are llama.cpp's own, byte for byte, on the demo model's prompts: in company, cold and cached."""

from __future__ import annotations

import asyncio
from typing import Any

import llama_cpp
import pytest

from server.model_source import find_model

from .serving import DEMO, Server

PROMPTS = [
    "Hello!",
    "Who are you?",
    "What is the capital of Japan?",
    "What is 7 plus 8?",
    "Count from 1 to 60.",
    "Repeat after me: tiny silver boats",
    "Tell me a story about a dragon.",
    "Give me the capital of Spain as JSON.",
]


@pytest.fixture(scope="module")
def expected(demo: Server) -> dict[str, str]:
    """What `llama_cpp.Llama` generates from the same tokens."""
    llama = llama_cpp.Llama(str(find_model(None)), n_ctx=2048, n_threads=1, verbose=False)
    answers = {}
    for prompt in PROMPTS:
        messages = [{"role": "user", "content": prompt}]
        rendered = demo.post("/apply-template", {"messages": messages}).json()["prompt"]
        tokens = demo.post("/tokenize", {"content": rendered, "parse_special": True}).json()["tokens"]
        answer: Any = llama.create_completion(tokens, max_tokens=None, temperature=0)
        answers[prompt] = answer["choices"][0]["text"]
    return answers


async def test_together_and_again(demo: Server, expected: dict[str, str]) -> None:
    async with demo.async_client() as client:

        async def answer(prompt: str) -> str:
            completion = await client.chat.completions.create(
                model=DEMO, messages=[{"role": "user", "content": prompt}], temperature=0
            )
            return completion.choices[0].message.content or ""

        for _ in range(2):
            answers = await asyncio.gather(*(answer(prompt) for prompt in PROMPTS))
            assert dict(zip(PROMPTS, answers, strict=True)) == expected
