"""Requests of every kind for as long as one likes, and the memory that the server takes meanwhile.

`python -m tests.e2e.soak --minutes 60` prints a line a minute. It stays flat, or something leaks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from .memory import own_mib
from .serving import DEMO, Server, serving

CLIENTS = 12
FLAGS = ("--ctx-size", "2048", "--parallel", "8", "--max-queue", "2", "--cache-ram", "4")
"""Small, so that whatever is bounded is at its bounds soon; and fewer places than clients."""

Client = httpx.AsyncClient
Kind = Callable[[Client, random.Random], Awaitable[int]]
"""Sends a request; the status of its answer, or 0 if it didn't wait for one."""


def words(rng: random.Random, n: int = 5) -> str:
    return " ".join("".join(rng.choices("abcdefghij", k=rng.randint(2, 8))) for _ in range(n))


def chat_body(rng: random.Random, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Repeat after me: {words(rng)}"}]
    return {"model": DEMO, "messages": messages, "max_tokens": rng.randint(1, 12), **fields}


async def _post(client: Client, path: str, body: Any) -> int:
    return (await client.post(path, json=body)).status_code


async def chat(client: Client, rng: random.Random) -> int:
    samplers = rng.choice([{"temperature": 0}, {"mirostat": 2}, {"dry_multiplier": 0.8}, {"xtc_probability": 0.5}])
    return await _post(client, "/v1/chat/completions", chat_body(rng, **samplers))


async def streamed_chat(client: Client, rng: random.Random) -> int:
    return await _post(client, "/v1/chat/completions", chat_body(rng, stream=True, logprobs=True, top_logprobs=5))


async def choices(client: Client, rng: random.Random) -> int:
    return await _post(client, "/v1/chat/completions", chat_body(rng, n=3, stop=[words(rng, 1)]))


async def schema(client: Client, rng: random.Random) -> int:
    """Each has a schema of its own, and so a grammar to be compiled."""
    properties = {words(rng, 1): {"enum": [words(rng, 1), words(rng, 1)]}}
    form = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": form}}
    return await _post(client, "/v1/chat/completions", chat_body(rng, response_format=response_format))


async def tools(client: Client, rng: random.Random) -> int:
    parameters = {"type": "object", "properties": {words(rng, 1): {"type": "string"}}}
    tool = {"type": "function", "function": {"name": words(rng, 1), "parameters": parameters}}
    return await _post(client, "/v1/chat/completions", chat_body(rng, tools=[tool], tool_choice="required"))


async def completions(client: Client, rng: random.Random) -> int:
    prompts = [words(rng) for _ in range(rng.randint(1, 4))]
    body = {"model": DEMO, "prompt": prompts, "max_tokens": 4, "echo": rng.random() < 0.5, "logprobs": 2}
    return await _post(client, "/v1/completions", body)


async def native(client: Client, rng: random.Random) -> int:
    return await _post(client, "/completion", {"prompt": words(rng), "n_predict": 4, "grammar": 'root ::= "a"+'})


async def text(client: Client, rng: random.Random) -> int:
    return await _post(client, "/tokenize", {"content": words(rng, 200)})


async def wrong(client: Client, rng: random.Random) -> int:
    body = chat_body(rng, **rng.choice([{"temperature": -1}, {"model": words(rng, 1)}, {words(rng, 1): 1, "n": 0}]))
    return await _post(client, "/v1/chat/completions", body)


async def garbage(client: Client, rng: random.Random) -> int:
    return (await client.post(f"/v1/{words(rng, 1)}", content=rng.randbytes(200))).status_code


async def too_long(client: Client, rng: random.Random) -> int:
    return await _post(client, "/v1/completions", {"model": DEMO, "prompt": words(rng, 3000)})


async def watch(client: Client, rng: random.Random) -> int:
    return (await client.get(rng.choice(["/metrics", "/health", "/slots", "/props", "/v1/models"]))).status_code


async def gone_from_a_stream(client: Client, rng: random.Random) -> int:
    body = chat_body(rng, stream=True, ignore_eos=True) | {"max_tokens": 1000}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            return response.status_code
        n = rng.randint(0, 4)
        async for _ in response.aiter_lines():
            if (n := n - 1) < 0:
                break
    return 0


async def gone_without_a_word(client: Client, rng: random.Random) -> int:
    body = chat_body(rng, ignore_eos=True) | {"max_tokens": 1000}
    try:
        return (await client.post("/v1/chat/completions", json=body, timeout=rng.uniform(0.01, 0.2))).status_code
    except httpx.TimeoutException:
        return 0


KINDS: list[Kind] = [
    *[chat, streamed_chat] * 4,
    *[choices, schema, tools, completions, native, text, wrong, garbage, watch, gone_from_a_stream] * 2,
    gone_without_a_word,
    too_long,
]


async def load(server: Server, seconds: float, seed: int = 0) -> Counter[int]:
    """Answers by status, after so long."""
    statuses: Counter[int] = Counter()
    end = time.monotonic() + seconds

    async def work(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        async with Client(base_url=server.root, timeout=120) as client:
            while time.monotonic() < end:
                status = await rng.choice(KINDS)(client, rng)
                statuses[status] += 1
                if status == 429:
                    await asyncio.sleep(0.01)

    await asyncio.gather(*(work(number) for number in range(CLIENTS)))
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--interval", type=float, default=60, metavar="SECONDS", help="between two lines")
    options = parser.parse_args()
    with serving(*FLAGS) as server:
        started = time.monotonic()
        total: Counter[int] = Counter()
        while (elapsed := time.monotonic() - started) < options.minutes * 60:
            total += asyncio.run(load(server, options.interval, seed=int(elapsed)))
            server.settled()
            memory = "  ".join(f"{name} {mib:.1f} MiB" for name, mib in own_mib(server.process.pid).items())
            minutes = (time.monotonic() - started) / 60
            sys.stdout.write(f"{minutes:6.1f} min  {total.total()} requests  {memory}  {json.dumps(total)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
