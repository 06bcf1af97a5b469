"""Who waits for whom while grammars and schemas are looked through."""

from __future__ import annotations

import asyncio
import threading

import pytest

from server import chat_plan
from server.schemas.chat import ChatCompletionRequest
from server.schemas.validation import validate
from server.structured.aside import N_THREADS, aside

MESSAGE = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f"}}


async def test_results_and_errors() -> None:
    assert await aside(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 7, 0)


@pytest.mark.parametrize("structure", [{"tools": [TOOL]}, {"guided_regex": "a"}])
async def test_a_plain_chat_waits_for_no_grammar(structure: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for tools; they wait for each other."""
    monkeypatch.setattr(chat_plan, "_plan", lambda dialect, request: dialect)
    plain, structured = (
        validate(ChatCompletionRequest, {"model": "m", "messages": [MESSAGE], **more}) for more in ({}, structure)
    )
    released = threading.Event()
    busy = [asyncio.ensure_future(aside(released.wait)) for _ in range(N_THREADS)]
    try:
        waiting = asyncio.ensure_future(chat_plan.plan_chat("structured", structured))  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            assert await chat_plan.plan_chat("plain", plain) == "plain"  # type: ignore[arg-type, comparison-overlap]
        assert not waiting.done()
    finally:
        released.set()
    assert await waiting == "structured"  # type: ignore[comparison-overlap]
    await asyncio.gather(*busy)
