"""The tokenizer's `main()`: a process that turns text into tokens with a vocabulary and no weights.

It is a process of its own because tokenizing can crash: llama.cpp splits text by recursive `std::regex`, which takes
about 420 bytes of stack per character of the longest match (`docs/tokenizer.md`). Stacks here grow with the text, so
it takes more than a long text to overflow them; if something still does, only this process dies (`tokenizer.py`).

Texts wait in lanes by size, one thread each, so that a short prompt is never behind a book. Some vocabularies take time
by the square of a text's length: a text that exceeds the time limit fails, and as nothing else would end it, the
process ends too.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from backends.base import InvalidRequest, LoadFailed, ModelLoadError

from .channel import Channel
from .tokenizer_messages import Encode, Encoded, EncodeFailed, Forget, Ready, TokenizerCommand
from .vocab import Vocabulary, stack_for

LANES = (32 << 10, 1 << 20, sys.maxsize)
"""Each lane's longest text, in bytes."""
TOOK_TOO_LONG = 3
"""The exit status after a text that exceeded the time limit."""


class Worker:
    """Reads commands until the parent is gone; answers from the lanes' threads."""

    def __init__(self, channel: Channel[TokenizerCommand], vocabulary: Vocabulary, time_limit: float) -> None:
        """`time_limit`: seconds for one text."""
        self._channel = channel
        self._vocabulary = vocabulary
        self._time_limit = time_limit
        self._waiting: dict[int, Encode] = {}
        self._running: dict[int, float] = {}
        """When each text began. Whoever takes a text out of here answers for it."""
        self._lanes = [queue.SimpleQueue[int]() for _ in LANES]

    def run(self) -> None:
        for lane, longest in zip(self._lanes, LANES, strict=True):
            own_stack = longest > LANES[0]
            _thread(self._serve, lane, own_stack, stack=stack_for(LANES[0]))
        while (command := self._next()) is not None:
            if isinstance(command, Forget):
                if self._waiting.pop(command.id, None) is not None:
                    self._channel.send(EncodeFailed(command.id, "cancelled"))
            else:
                self._waiting[command.id] = command
                fitting = next(i for i, longest in enumerate(LANES) if len(command.text) <= longest)
                self._lanes[fitting].put(command.id)

    def _next(self) -> TokenizerCommand | None:
        """The next command, with an eye on the clock before and meanwhile."""
        self._check_clock()
        while not self._channel.ready(min(1.0, self._time_limit)):
            self._check_clock()
        return self._channel.receive()

    def _check_clock(self) -> None:
        for job_id, began in list(self._running.items()):
            if time.monotonic() - began > self._time_limit and self._running.pop(job_id, None) is not None:
                message = f"tokenizing the text took more than {self._time_limit:g} seconds"
                self._channel.send(EncodeFailed(job_id, message))
                os._exit(TOOK_TOO_LONG)

    def _serve(self, lane: queue.SimpleQueue[int], own_stack: bool) -> None:
        """Work off a lane. `own_stack`: each text on a new thread, whose stack fits it and is freed after it."""
        while True:
            job = self._waiting.pop(lane.get(), None)
            if job is None:
                continue
            if not own_stack:
                self._encode(job)
                continue
            try:
                _thread(self._encode, job, stack=stack_for(len(job.text))).join()
            except (RuntimeError, ValueError, MemoryError):
                self._channel.send(EncodeFailed(job.id, "the text is too long to be tokenized on this machine"))

    def _encode(self, job: Encode) -> None:
        answer: Encoded | EncodeFailed
        self._running[job.id] = time.monotonic()
        try:
            tokens = self._vocabulary.tokenize(job.text, add_special=job.add_special, parse_special=job.parse_special)
            answer = Encoded(job.id, tokens)
        except (InvalidRequest, MemoryError) as error:
            answer = EncodeFailed(job.id, str(error) or "out of memory")
        if self._running.pop(job.id, None) is None:
            return
        with suppress(ConnectionError):  # the parent is gone, and `run` is about to see it
            self._channel.send(answer)


_stack_size = threading.Lock()
"""`threading.stack_size` holds for all threads started after it."""


def _thread(target: Callable[..., None], *arguments: object, stack: int) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    with _stack_size:
        threading.stack_size(stack)
        thread.start()
    return thread


def main(fd: int, path: str, time_limit: float, *, verbose: bool) -> None:
    """Serve the end `fd` of a socket pair until its other end closes."""
    # A terminal's Ctrl-C and systemd's SIGTERM reach this process too; the API process decides when it ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with Channel[TokenizerCommand].from_fd(fd, TokenizerCommand) as channel, suppress(ConnectionError):
        try:
            vocabulary = Vocabulary(path, verbose=verbose)
        except ModelLoadError as error:
            channel.send(LoadFailed(str(error)))
            return
        channel.send(Ready(vocabulary.info()))
        Worker(channel, vocabulary, time_limit).run()
    os._exit(0)  # a thread may be deep in a text that nobody waits for


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), verbose=sys.argv[4:] == ["--verbose"])
