"""Answers that outlive the engine: streams of every kind, while it is killed again and again.

`python -m tests.e2e.outliving --kills 100` is the long version of tests/e2e/test_engine_death.py: it prints how long
the streams stood still at each death. Each must end as it does on an engine that lives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from openai import AsyncOpenAI

from .serving import DEMO, Server, serving
from .test_structured_output import ORDER
from .test_tools import BOTH, TOOLS

N_STREAMS = 32
FLAGS = ("--parallel", "12", "--grammar-timeout", "60")
"""Some of them wait; and on a busy machine a new engine takes its time."""
DEATHS = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV)


@dataclass
class Answer:
    """What a client has got, by choice."""

    texts: dict[int, str] = field(default_factory=dict)
    arguments: dict[int, str] = field(default_factory=dict)
    """Of tool calls, one after the other."""
    n_logprobs: int = 0
    finish_reasons: dict[int, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, choice: Any, part: Any) -> None:
        """A chunk's delta, or a whole message."""
        self.texts[choice.index] = self.texts.get(choice.index, "") + (part.content or "")
        for call in part.tool_calls or []:
            called = f"{call.function.name or ''}{call.function.arguments or ''}"
            self.arguments[choice.index] = self.arguments.get(choice.index, "") + called
        if choice.logprobs is not None:
            self.n_logprobs += len(choice.logprobs.content or [])
        if choice.finish_reason is not None:
            assert choice.index not in self.finish_reasons
            self.finish_reasons[choice.index] = choice.finish_reason


class Pulse:
    """Chunks of all streams, as they come."""

    def __init__(self) -> None:
        self.n = 0

    def beat(self) -> None:
        self.n += 1

    async def go_on(self, n: int) -> None:
        """Wait until so many more have come."""
        goal = self.n + n
        for _ in range(30_000):
            if self.n >= goal:
                return
            await asyncio.sleep(0.002)
        raise AssertionError("nothing comes any more")


@dataclass(frozen=True)
class Kind:
    options: dict[str, Any]
    exact: bool = True
    """Whether it is the same again, and whatever happens to the engine."""
    stream: bool = True
    check: Callable[[Answer], None] = lambda answer: None


def _order(answer: Answer) -> None:
    jsonschema.validate(json.loads(answer.texts[0]), ORDER)


def _user(text: str, **options: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, **options}


_COUNT, _STORY = "Count from 1 to 60.", "Tell me a long story about a cat."
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER}}
KINDS = [
    Kind(_user(_COUNT)),
    Kind(_user(_STORY)),
    # so far the model is sure; where it would stop is chance, and so kernel noise decides
    Kind(_user(_COUNT, temperature=0.2, seed=7, n=2, max_tokens=180)),
    Kind(_user(_STORY), stream=False),
    Kind(_user("The order:", response_format=_SCHEMA, temperature=1.5, seed=3), exact=False, check=_order),
    Kind({"messages": BOTH, "temperature": 0, "tools": TOOLS}),
    Kind(_user(_COUNT, logprobs=True, top_logprobs=2)),
    Kind(_user(_STORY, temperature=0.8, extra_body={"mirostat": 2}), exact=False),
]


async def ask(client: AsyncOpenAI, kind: Kind, pulse: Pulse) -> Answer:
    answer = Answer()
    if not kind.stream:
        whole = await client.chat.completions.create(model=DEMO, **kind.options)
        for choice in whole.choices:
            answer.add(choice, choice.message)
        usage = whole.usage
    else:
        usage = None
        chunks = await client.chat.completions.create(
            model=DEMO, stream=True, stream_options={"include_usage": True}, **kind.options
        )
        async for chunk in chunks:
            for choice in chunk.choices:
                pulse.beat()
                answer.add(choice, choice.delta)
            assert usage is None
            usage = chunk.usage
    assert usage is not None
    answer.prompt_tokens, answer.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    assert len(answer.finish_reasons) == kind.options.get("n", 1)
    kind.check(answer)
    return answer


async def undisturbed(server: Server) -> list[Answer]:
    """An answer of each kind, from an engine that lives."""
    async with server.async_client() as client:
        return list(await asyncio.gather(*(ask(client, kind, Pulse()) for kind in KINDS)))


async def disturbed(
    server: Server, expected: list[Answer], kill: Callable[[Pulse], Any], n_streams: int = N_STREAMS
) -> None:
    """The same from so many clients at once, while `kill` does what it does; it must be done before they are."""
    pulse = Pulse()
    async with server.async_client() as client:
        asked = [i % len(KINDS) for i in range(n_streams)]
        answers = asyncio.gather(*(ask(client, KINDS[i], pulse) for i in asked))
        killing = asyncio.create_task(kill(pulse))
        for i, answer in zip(asked, await answers, strict=True):
            assert answer.prompt_tokens == expected[i].prompt_tokens
            if KINDS[i].exact:
                assert answer == expected[i], f"{KINDS[i].options}:\n{answer}\n{expected[i]}"
        await killing


async def kill_engine(server: Server, number: int = signal.SIGKILL) -> int:
    """Kill the server's engine; the next one's process id, as soon as it has one."""
    pid = server.engine_pid
    assert pid is not None
    os.kill(pid, number)
    for _ in range(20_000):
        if (after := server.engine_pid) not in (None, pid):
            assert after is not None
            return after
        await asyncio.sleep(0.002)
    raise AssertionError("no engine follows")


async def main(n_kills: int) -> None:
    gaps: list[float] = []
    rounds = 0

    async def kill(pulse: Pulse) -> None:
        for _ in range(2):  # the third in a row would be laid at a request's door
            await pulse.go_on(random.randint(1, 600))
            died = time.monotonic()
            await kill_engine(server, random.choice(DEATHS))
            await pulse.go_on(1)
            gaps.append(time.monotonic() - died)

    os.environ |= {"KILLS": "-1", "FAILS": "-1"}
    with serving(*FLAGS, module="tests.e2e.frail_server") as server:  # for its short waits before a start
        expected = await undisturbed(server)
        while len(gaps) < n_kills:
            await disturbed(server, expected, kill)
            rounds += 1
        restarts = server.metric("paddock_engine_restarts_total")
    sys.stdout.write(
        f"{rounds * N_STREAMS} answers, {restarts:.0f} engines killed: no answer failed or differed\n"
        f"seconds from death to the next tokens: median {statistics.median(gaps):.2f}, longest {max(gaps):.2f}\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    asyncio.run(main(parser.parse_args().kills))
