"""Memory stays flat under requests of every kind, failed and abandoned ones included."""

from __future__ import annotations

import asyncio

import pytest

from . import soak
from .memory import AVAILABLE, own_mib
from .serving import serving
from .test_many_clients import check_cells

WARM_UP_SECONDS, SECONDS = 10, 12
MAX_GROWTH_MIB = {"server": 3}
"""Some thousand requests that left a kilobyte or two each would exceed it."""
MAX_GROWTH_OF_OTHERS_MIB = 12
"""The engine's pool, its grammars and its spilled prefixes are still being filled: 16 MiB within 2,000 requests, and
then no more."""


@pytest.mark.slow
@pytest.mark.skipif(not AVAILABLE, reason="needs /proc to tell a process's memory")
def test_memory_stays_flat() -> None:
    with serving(*soak.FLAGS) as server:
        asyncio.run(soak.load(server, WARM_UP_SECONDS, seed=1))
        server.settled()
        before = own_mib(server.process.pid)
        statuses = asyncio.run(soak.load(server, SECONDS, seed=2))
        check_cells(server)
        after = own_mib(server.process.pid)
        for name in before:
            assert after[name] - before[name] < MAX_GROWTH_MIB.get(name, MAX_GROWTH_OF_OTHERS_MIB), name
        assert {200, 429} <= set(statuses) <= {0, 200, 400, 404, 429}
