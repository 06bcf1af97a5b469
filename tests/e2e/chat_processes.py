"""The processes that `paddock chat` and `paddock run` start, and whether they end."""

from __future__ import annotations

import time
from pathlib import Path

SECONDS = 60
FLAGS = ("--threads", "1", "-c", "1024", "-np", "1")
"""For a small server of their own."""


def servers_of(pid: int) -> list[Path]:
    """The processes below a chat: its server, and that one's engine and tokenizer."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in children for found in (Path(f"/proc/{child}"), *servers_of(int(child)))]


def gone(processes: list[Path]) -> None:
    assert len(processes) >= 2
    deadline = time.monotonic() + 20
    while any(process.exists() for process in processes):
        assert time.monotonic() < deadline, "the server outlives the chat"
        time.sleep(0.02)
