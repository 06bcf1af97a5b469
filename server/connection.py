"""Work that ends when its client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The request's time is over; what it had left to do has been cancelled."""

    def __init__(self) -> None:
        super().__init__("The request took longer than it was allowed to.")


async def until_gone(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, T], deadline: float | None = None) -> T:
    """The result of `work`, which is cancelled if the client goes away first, or the deadline passes.

    `deadline` is a time of the running event loop's clock. Raises ClientDisconnect and DeadlineExceeded.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_gone(request))
    try:
        await asyncio.wait((task, gone), timeout=seconds_to(deadline), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect if gone.done() else DeadlineExceeded
    finally:
        await cancel(task, gone)


def seconds_to(deadline: float | None) -> float | None:
    """How long it is until a time of the running event loop's clock; None: it never comes."""
    return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what is still running, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
