"""The answers of a server with OpenAI's API to many questions, a few at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from server.terminal.client import is_here

from .rows import JSON, Answer, Row

TRIES = 6
BUSY = (429, 503)
"""Statuses that ask for another try later."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between tries, doubled each time, where the server doesn't say how long."""
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a server is asked."""

    url: str
    """Ends with /v1."""
    api_key: str | None
    model: str
    concurrency: int
    fields: JSON
    """Of each request: max_tokens, temperature, …"""
    system: str = ""
    """A system message before those of a row; not for `raw`."""
    raw: bool = False
    """Prompts are continued as they are, by /completions, instead of being a user's message in a chat."""

    def ask(self, rows: Sequence[Row], report: Callable[[int, int], None]) -> list[Answer]:
        """An answer or an error for each row."""
        return asyncio.run(self._ask_all(rows, report))

    async def _ask_all(self, rows: Sequence[Row], report: Callable[[int, int], None]) -> list[Answer]:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)  # answers may take as long as they take
        room = asyncio.Semaphore(self.concurrency)
        done = 0
        report(0, len(rows))
        async with httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=timeout, trust_env=not is_here(self.url)
        ) as http:

            async def answer(row: Row) -> Answer:
                nonlocal done
                async with room:
                    found = await _try(http, *self._request(row))
                done += 1
                report(done, len(rows))
                return found

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(answer(row)) for row in rows]
        return [task.result() for task in tasks]

    def _request(self, row: Row) -> tuple[str, JSON]:
        """Path and body."""
        body: JSON = {"model": self.model, **self.fields}
        if self.raw and row.prompt is not None:
            return "/completions", {**body, "prompt": row.prompt}
        messages = row.messages if row.messages is not None else [{"role": "user", "content": row.prompt}]
        if self.system:
            messages = [{"role": "system", "content": self.system}, *messages]
        return "/chat/completions", {**body, "messages": messages}


async def _try(http: httpx2.AsyncClient, path: str, body: JSON) -> Answer:
    wait = FIRST_WAIT
    for attempt in range(1, TRIES + 1):
        try:
            response = await http.post(path, json=body)
        except httpx2.HTTPError as error:
            failed = Answer(error=str(error) or type(error).__name__)
        else:
            if not response.is_error:
                return _answer(response)
            failed = Answer(error=_message(response))
            if response.status_code not in BUSY:
                return failed
            wait = _retry_after(response) or wait
        if attempt < TRIES:
            await asyncio.sleep(min(wait, LONGEST_WAIT) * random.uniform(1, 1.25))  # not all at the same moment
            wait *= 2
    return failed


def _answer(response: httpx2.Response) -> Answer:
    try:
        choice = response.json()["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        if not isinstance(text, str | None):
            raise TypeError
    except (ValueError, LookupError, TypeError, RecursionError):
        return Answer(error="the answer is not what OpenAI's API gives")
    return Answer(text or "")


def _message(response: httpx2.Response) -> str:
    """OpenAI's error, or what comes instead of it, in a line."""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    try:
        body: Any = response.json()
        return f"{status}: {' '.join(str(body['error']['message']).split())}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return status


def _retry_after(response: httpx2.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if seconds > 0 else None  # nor is it a number if it is NaN
