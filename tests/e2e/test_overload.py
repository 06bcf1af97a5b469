"""More than the server can take: it says so, and what nobody waits for any more takes up nothing."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from .serving import DEMO, Server, serving
from .test_many_clients import check_cells
from .test_shutdown import CHAT, LONG, SHORT, until

UNENDING = LONG | {"max_tokens": None}
"""To the context's end."""
N_WORDS = 4000


@pytest.fixture(scope="module")
def single() -> Iterator[Server]:
    """One sequence at a time."""
    with serving("--parallel", "1", "--max-queue", "2", "--ctx-size", "8192", "--write-timeout", "1") as server:
        yield server


def state_of(server: Server) -> tuple[float, float]:
    """Sequences that run, and that wait."""
    return server.metric("paddock_num_requests_running"), server.metric("paddock_num_requests_waiting")


async def test_beyond_the_queue_is_a_429_that_clients_retry(single: Server) -> None:
    async with httpx.AsyncClient(base_url=single.root, timeout=60) as client:
        answers = await asyncio.gather(*(client.post(CHAT, json=LONG | {"max_tokens": 100}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 5
    for late in answers:
        if late.status_code == 429:
            assert late.json()["error"].keys() == {"message", "type", "param", "code"}
            assert late.json()["error"]["code"] == "queue_full"
            assert 1 <= int(late.headers["retry-after"]) <= 60
    async with single.async_client().with_options(max_retries=20) as sdk:
        retried = await asyncio.gather(
            *(sdk.chat.completions.create(model=DEMO, messages=LONG["messages"], max_tokens=20) for _ in range(5))
        )
    assert all(answer.choices[0].message.content for answer in retried)
    check_cells(single)


def many_words(stream: bool) -> dict[str, Any]:
    """A chat whose prompt has several tokens for each of N_WORDS words; each call begins it anew."""
    words = f"{time.monotonic()} " + " ".join(str(number) for number in range(N_WORDS))
    return SHORT | {"messages": [{"role": "user", "content": words}], "stream": stream}


class Abandoned:
    """A request whose client goes away when told to."""

    def __init__(self, server: Server, body: dict[str, Any], path: str = CHAT, buffer: int | None = None) -> None:
        """`buffer`: bytes that this end takes unread."""
        url = httpx.URL(server.root)
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect((url.host, url.port))
        self.ask(body, path)

    def ask(self, body: dict[str, Any], path: str = CHAT) -> None:
        data = json.dumps(body).encode()
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data))
        self.socket.sendall(head + data)

    def go(self) -> None:
        self.socket.close()


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_while_decoding_is_gone_from_the_slots(single: Server, stream: bool) -> None:
    client = Abandoned(single, UNENDING | {"stream": stream})
    until(lambda: any(slot["is_processing"] and slot["next_token"][0]["n_decoded"] for slot in slots(single)))
    client.go()
    until(lambda: not any(slot["is_processing"] for slot in slots(single)))
    check_cells(single)


def slots(server: Server) -> Any:
    return server.get("/slots").json()


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_while_queued_leaves_the_queue(single: Server, stream: bool) -> None:
    running = Abandoned(single, UNENDING)
    until(lambda: state_of(single) == (1, 0))
    queued = [Abandoned(single, UNENDING | {"stream": stream}) for _ in range(2)]
    until(lambda: state_of(single) == (1, 2))
    assert single.post(CHAT, SHORT).status_code == 429
    queued[0].go()
    until(lambda: state_of(single) == (1, 1))
    queued[1].go()
    until(lambda: state_of(single) == (1, 0))
    running.go()
    until(lambda: state_of(single) == (0, 0))
    assert single.post(CHAT, SHORT).status_code == 200
    check_cells(single)


@pytest.fixture(scope="module")
def slow_prefill() -> Iterator[Server]:
    """Prompts take many steps: they are computed in small batches."""
    with serving("--timeout", "2", "--ctx-size", "32768", "--batch-size", "32", "--ubatch-size", "32") as server:
        yield server


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_in_prefill_has_no_more_of_it_computed(slow_prefill: Server, stream: bool) -> None:
    computed = slow_prefill.metric("paddock_prompt_tokens_computed_total")
    client = Abandoned(slow_prefill, many_words(stream))
    until(lambda: any(slot.get("n_prompt_tokens_processed", 0) for slot in slots(slow_prefill)))
    client.go()
    slow_prefill.settled()
    assert slow_prefill.metric("paddock_prompt_tokens_computed_total") - computed < N_WORDS
    check_cells(slow_prefill)


@pytest.mark.parametrize("stream", [False, True])
def test_deadlines_end_prefill(slow_prefill: Server, stream: bool) -> None:
    computed = slow_prefill.metric("paddock_prompt_tokens_computed_total")
    answer = slow_prefill.post(CHAT, many_words(stream))
    assert answer.status_code == 504 or "event: error" in answer.text
    assert "deadline_exceeded" in answer.text
    slow_prefill.settled()
    assert slow_prefill.metric("paddock_prompt_tokens_computed_total") > computed
    assert slow_prefill.metric("paddock_generation_tokens_total") == 0
    check_cells(slow_prefill)


def test_who_goes_away_while_the_grammar_compiles_never_runs(single: Server) -> None:
    """Grammars that take a while, and more of them than are compiled at a time."""
    ended, gone = single.metric("paddock_request_success_total"), aborted(single)
    clients = []
    for number in range(3):
        schema = {"enum": [f"{number} {i}" for i in range(9000)]}
        clients.append(Abandoned(single, SHORT | {"json_schema": schema, "stream": number % 2 == 1}))
    until(lambda: single.metric("paddock_http_requests_total") > 0)
    for client in clients:
        client.go()
    single.settled()
    assert single.post(CHAT, SHORT).status_code == 200
    assert single.metric("paddock_request_success_total") - ended - 1 == aborted(single) - gone
    check_cells(single)


def aborted(server: Server) -> float:
    """Sequences whose client went away."""
    pattern = r'^paddock_request_success_total\{.*finished_reason="abort".*\} (\S+)$'
    found = re.search(pattern, server.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def test_who_takes_nothing_of_a_stream_is_cut_off(single: Server) -> None:
    """The socket's buffers are filled by a large answer first, so that the stream can't hide in them."""
    gone = aborted(single)
    client = Abandoned(single, {"content": "7 " * 200_000, "with_pieces": True}, "/tokenize", buffer=4096)
    client.ask(UNENDING | {"stream": True, "logprobs": True, "top_logprobs": 20})
    until(lambda: aborted(single) == gone + 1)
    until(lambda: state_of(single) == (0, 0))
    client.go()
    check_cells(single)


def test_deadlines_end_what_decodes_and_what_is_queued() -> None:
    with serving("--timeout", "1", "--parallel", "1") as server, ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(server.post, CHAT, UNENDING | {"stream": i % 2 == 1}) for i in range(8)]
        for job in jobs:
            answer = job.result()
            assert answer.status_code == 504 or "event: error" in answer.text
            assert "deadline_exceeded" in answer.text
        assert aborted(server) == len(jobs)
        check_cells(server)
