"""Several asynchronous iterators as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from server.merge import merge

closed: list[str] = []


async def count(name: str, to: int, fail: bool = False) -> AsyncGenerator[int, None]:
    try:
        for number in range(to):
            await asyncio.sleep(0)
            yield number
        if fail:
            raise ValueError(name)
    finally:
        closed.append(name)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    closed.clear()


async def test_everything_comes_in_order() -> None:
    got = [item async for item in merge([count("a", 200), count("b", 3), count("c", 0)])]
    assert [number for index, number in got if index == 0] == list(range(200))
    assert [number for index, number in got if index == 1] == [0, 1, 2]
    assert sorted(closed) == ["a", "b", "c"]


async def test_nothing() -> None:
    assert [item async for item in merge([])] == []  # type: ignore[var-annotated]


async def test_a_failure_ends_all() -> None:
    with pytest.raises(ValueError, match="b"):
        async for _ in merge([count("a", 10**6), count("b", 2, fail=True)]):
            pass
    assert sorted(closed) == ["a", "b"]


async def test_closing_closes_all() -> None:
    async with aclosing(merge([count("a", 10**6), count("b", 10**6)])) as merged:
        async for _ in merged:
            break
    assert sorted(closed) == ["a", "b"]
