"""From a signal to the end: not ready, then refusing, then nothing left running."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

from server.draining import Drain

log = logging.getLogger("paddock")


class Signals:
    """SIGINT and SIGTERM, which are orders here and no exceptions."""

    def __init__(self) -> None:
        """On the running event loop."""
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[signal.Signals] = loop.create_future()
        self.again = asyncio.Event()
        """It came a second time: whoever sent it won't wait."""
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._take, number)

    def _take(self, number: signal.Signals) -> None:
        if self.first.done():
            self.again.set()
        else:
            self.first.set_result(number)


async def drain(state: Drain, signals: Signals, *, delay: float, patience: float) -> None:
    """Return when nothing runs any more, at the latest `delay` and `patience` seconds after the first signal.

    SIGINT comes from a terminal, where nobody waits for a load balancer to notice: it skips the delay.
    """
    state.begin()
    if delay and signals.first.result() == signal.SIGTERM:
        log.info("stopping in %g s; until then new requests are still served", delay)
        await _unless(signals.again, asyncio.sleep(delay))
    if not signals.again.is_set():
        state.refuse()
        if state.n_running:
            message = "stopping: requests that run (%d) have %g s to finish (a second signal ends them now)"
            log.info(message, state.n_running, patience)
            await _unless(signals.again, state.emptied(), patience)
    if state.n_running:
        log.warning("cutting requests that have not finished (%d)", state.n_running)
    await state.cut()


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None], seconds: float | None = None) -> None:
    """Do `work`, until the event or the time comes first."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(event.wait())]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
