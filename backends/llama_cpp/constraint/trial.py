"""A grammar tried in a process of its own first: compiling may take for ever, all memory, or the process with it.

llguidance bounds much of what a grammar may cost, but not all of it (measured with 1.9: intersections of a few short
regular expressions), and nothing ends a thread.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

from backends.llama_cpp.channel import Channel
from backends.llama_cpp.grammar_trial_process import MOST_MEMORY, Trial, Verdict


class Trials(threading.local):
    """A process for each thread, started when it is first needed."""

    def __init__(self, seconds: float) -> None:
        """What takes longer than so many seconds is refused."""
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel[Verdict] | None = None

    def run(self, grammar: str, n_vocab: int) -> None:
        """Raises ValueError for a grammar that can't be compiled, or not within bounds."""
        channel = self._channel or self._start()
        try:
            channel.send(Trial(grammar, n_vocab, self._seconds))
            verdict = channel.receive() if channel.ready(self._seconds) else None
        except ConnectionError:
            verdict = None
        if verdict is None:
            self._end()
            most = f"{self._seconds:g} s or {MOST_MEMORY >> 20} MiB"
            raise ValueError(f"it takes too much time or memory to compile: more than {most}")
        if verdict.reason is not None:
            raise ValueError(verdict.reason)

    def _start(self) -> Channel[Verdict]:
        parent, child = socket.socketpair()
        with child:
            command = [sys.executable, "-m", "backends.llama_cpp.grammar_trial_process", str(child.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[child.fileno()], stdin=subprocess.DEVNULL)
        self._channel = Channel(parent, Verdict)
        return self._channel

    def _end(self) -> None:
        if self._process is not None and self._channel is not None:
            self._channel.close()
            self._process.kill()
            self._process.wait()
        self._process = self._channel = None
