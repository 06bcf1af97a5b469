"""Three replicas behind a real load balancer: restarted in turn, and no client notices; where conversations go."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from functools import partial
from itertools import count
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.server.settings import load_settings

from .affinity import Chats, measure
from .load_balancer import CONFIGURATION, Replica, balancing, replicas, until
from .serving import DEMO
from .test_many_clients import QUESTIONS, stream

FLAGS = ("-c", "4096", "-np", "6", "--drain-delay", "4", "--drain-timeout", "60")
LONG = 400
"""Tokens of a stream that is still running when its replica stops taking requests."""


def test_the_drain_delay_outlasts_the_health_checks() -> None:
    """A replica that stops is believed to be down before it refuses the first request."""
    text = CONFIGURATION.read_text()
    interval, failures = re.findall(r"check inter (\d+)s fall (\d+)", text)[0]
    timeout = re.findall(r"timeout check (\d+)s", text)[0]
    noticed = int(interval) * int(failures) + int(timeout)
    assert load_settings([*FLAGS], {}).drain_delay >= noticed


def at_least_one(replica: Replica, metric: str) -> bool:
    return replica.server.metric(f"paddock_{metric}") >= 1


class Load:
    """Clients that ask until they are told to stop. None tries anything twice."""

    def __init__(self, url: str) -> None:
        self._client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=120)
        self._enough = asyncio.Event()
        self.expected: dict[str, str] = {}
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []

    async def learn(self) -> None:
        """What each question's answer is when nothing goes wrong."""
        for question in QUESTIONS:
            self.expected[question], _ = await stream(self._client, question, temperature=0)

    async def run(self) -> None:
        await asyncio.gather(
            *(self._repeat(self._streamed) for _ in range(4)),
            *(self._repeat(self._whole) for _ in range(2)),
            *(self._repeat(self._long) for _ in range(3)),
        )
        await self._client.close()

    def stop(self) -> None:
        self._enough.set()

    async def _repeat(self, ask: Any) -> None:
        for number in count():
            if self._enough.is_set():
                return
            try:
                await ask(number)
                self.answered[ask.__name__] += 1
            except Exception as error:
                self.failures.append(f"{ask.__name__}: {error!r}")

    async def _streamed(self, number: int) -> None:
        question = QUESTIONS[number % len(QUESTIONS)]
        text, reason = await stream(self._client, question, temperature=0)
        self._check(question, text, reason)

    async def _whole(self, number: int) -> None:
        question = QUESTIONS[number % len(QUESTIONS)]
        answer = await self._client.chat.completions.create(
            model=DEMO, messages=[{"role": "user", "content": question}], temperature=0,
            prompt_cache_key=f"conversation {number % 5}",
        )  # fmt: skip
        self._check(question, answer.choices[0].message.content, answer.choices[0].finish_reason)

    def _check(self, question: str, text: str | None, reason: str | None) -> None:
        assert reason and text == self.expected[question], f"{question} ({reason}): {text!r}"

    async def _long(self, number: int) -> None:
        chunks = await self._client.completions.create(
            model=DEMO, prompt="Once upon a time", max_tokens=LONG, stream=True,
            stream_options={"include_usage": True}, extra_body={"ignore_eos": True},
            extra_headers={"x-session-id": str(number % 7)},
        )  # fmt: skip
        reason, tokens = None, 0
        async for chunk in chunks:
            reason = (chunk.choices[0].finish_reason if chunk.choices else None) or reason
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        assert (reason, tokens) == ("length", LONG)


@pytest.mark.slow
async def test_replicas_are_restarted_one_after_another_under_load() -> None:
    with replicas(*FLAGS) as behind, balancing(behind) as url:
        load = Load(url)
        await load.learn()
        running = asyncio.create_task(load.run())
        for replica in behind:
            await asyncio.to_thread(until, partial(at_least_one, replica, "num_requests_running"), "stream on it")
            before = sum(load.answered.values())
            await asyncio.to_thread(replica.stop)
            assert sum(load.answered.values()) > before, "the others served meanwhile"
            await asyncio.to_thread(replica.start)
            await asyncio.to_thread(until, replica.in_rotation, "replica in rotation")
        for replica in behind:
            await asyncio.to_thread(
                until, partial(at_least_one, replica, "request_success_total"), "request served again"
            )
        load.stop()
        await running
    assert load.failures == []
    assert set(load.answered) == {"_streamed", "_whole", "_long"}


@pytest.mark.slow
async def test_a_conversation_goes_where_its_beginning_is_cached() -> None:
    """Turns of a chat that go round find less of it each time; with the session's header, all that came before."""
    chats = Chats(count=8, turns=5, question_words=30, answer_tokens=8, at_once=8)
    with replicas("-c", "4096", "-np", "4", "-a", "chat") as behind, balancing(behind) as url:
        in_turn = await measure(url, behind, chats, by_session=False)
        by_session = await measure(url, behind, chats, by_session=True)
        by_key = await where_they_go(url, behind, prompt_cache_key="conversation")
        in_turn_again = await where_they_go(url, behind)
    assert by_session.reused > in_turn.reused + 0.15
    assert by_session.reused > 0.45
    assert sorted(by_key) == [0, 0, 6]
    assert in_turn_again == [2, 2, 2]


async def where_they_go(url: str, behind: list[Replica], **fields: Any) -> list[float]:
    """How many of six requests, one after another, each replica gets."""
    before = [replica.server.metric("paddock_request_success_total") for replica in behind]
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
        for _ in range(6):
            await client.completions.create(model="chat", prompt="Once", max_tokens=2, extra_body=fields)
    after = [replica.server.metric("paddock_request_success_total") for replica in behind]
    return [now - then for now, then in zip(after, before, strict=True)]
