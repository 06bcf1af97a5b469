"""Conversations over several replicas: what it gains to send each one where its beginning is cached.

`python -m tests.e2e.affinity [--model FILE] [--chats 12] …` measures it, by HAProxy with deploy/'s configuration: each
turn to whichever replica is next, and then by the header x-session-id. docs/deploy.md quotes what it prints.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from openai import AsyncOpenAI

from benchmarks.words import prose

from .load_balancer import Replica, balancing, replicas


@dataclass(frozen=True)
class Chats:
    """Conversations that are held, `at_once` at a time; lengths in words and in tokens."""

    count: int
    turns: int
    question_words: int
    answer_tokens: int
    at_once: int


@dataclass(frozen=True)
class Gain:
    reused: float
    """Share of prompt tokens that were cached."""
    first_token: float
    """Seconds to the first token of a turn after a chat's first, median."""
    seconds: float
    """For all chats."""


async def measure(url: str, behind: list[Replica], chats: Chats, *, by_session: bool) -> Gain:
    """Hold chats that nobody has held before."""
    before = _prompt_tokens(behind)
    places = asyncio.Semaphore(chats.at_once)
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600)
    began = time.monotonic()
    async with client:
        waits = await asyncio.gather(
            *(_chat(client, number, chats, places, by_session) for number in range(chats.count))
        )
    seconds = time.monotonic() - began
    cached, all_tokens = (after - earlier for after, earlier in zip(_prompt_tokens(behind), before, strict=True))
    return Gain(cached / all_tokens, statistics.median(wait for chat in waits for wait in chat), seconds)


def _prompt_tokens(behind: list[Replica]) -> tuple[float, float]:
    """Cached ones and all, as /metrics tells."""
    return (
        sum(replica.server.metric("paddock_prompt_tokens_cached_total") for replica in behind),
        sum(replica.server.metric("paddock_prompt_tokens_total") for replica in behind),
    )


async def _chat(
    client: AsyncOpenAI, number: int, chats: Chats, places: asyncio.Semaphore, by_session: bool
) -> list[float]:
    random = Random(f"{number} {by_session}")
    headers = {"x-session-id": f"chat {number}"} if by_session else {}
    messages: list[Any] = []
    waits = []
    for turn in range(chats.turns):
        messages.append({"role": "user", "content": prose(random, chats.question_words)})
        async with places:
            text, wait = await _turn(client, messages, chats.answer_tokens, headers)
        messages.append({"role": "assistant", "content": text})
        if turn:
            waits.append(wait)
    return waits


async def _turn(client: AsyncOpenAI, messages: list[Any], tokens: int, headers: dict[str, str]) -> tuple[str, float]:
    """The answer, and the seconds to its first token."""
    sent, first, text = time.monotonic(), None, ""
    chunks = await client.chat.completions.create(
        model="chat", messages=messages, max_tokens=tokens, temperature=0, stream=True,
        extra_body={"ignore_eos": True}, extra_headers=headers,
    )  # fmt: skip
    async for chunk in chunks:
        if chunk.choices[0].delta.content:
            first = first or time.monotonic()
            text += chunk.choices[0].delta.content
    return text, (first or time.monotonic()) - sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a GGUF (default: the demo model)")
    parser.add_argument("--context", type=int, default=16384)
    for name, default in [("chats", 12), ("turns", 5), ("words", 120), ("tokens", 24), ("at-once", 4)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    chats = Chats(given.chats, given.turns, given.words, given.tokens, given.at_once)
    flags = ["-a", "chat", "-c", str(given.context), *(["-m", given.model] if given.model else [])]
    sys.stdout.write(f"{chats}\n")
    for by_session in (False, True):
        with replicas(*flags) as behind, balancing(behind) as url:
            gain = asyncio.run(measure(url, behind, chats, by_session=by_session))
        sys.stdout.write(
            f"{'by session' if by_session else 'in turn':10}: {gain.reused:4.0%} of prompt tokens cached, "
            f"first token after {gain.first_token:.2f} s, {gain.seconds:.0f} s in all\n"
        )


if __name__ == "__main__":
    main()
