"""Threads with a stack that is deep enough for grammars."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from backends.llama_cpp.grammar_limits import STACK


def deep_threads(n: int, name: str) -> ThreadPoolExecutor:
    """All started at once: Python knows only one stack size, which is for whatever thread starts next."""
    threads = ThreadPoolExecutor(n, thread_name_prefix=name)
    all_started = threading.Barrier(n + 1)
    before = threading.stack_size(STACK)
    try:
        for _ in range(n):
            threads.submit(all_started.wait)
    finally:
        threading.stack_size(before)
    all_started.wait()
    return threads
