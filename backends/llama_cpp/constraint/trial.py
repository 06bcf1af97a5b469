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
from backends.llama_cpp.grammar_limits import MOST_MEMORY
from backends.llama_cpp.grammar_trial_process import Trial, Verdict

STARTING = 10.0
"""Seconds that the process gets to start,"""
SHARE = 4.0
"""and for each second that a trial may take of the processor, where others have work to do too. Mostly it has ended by
itself long before."""


class NotCompiled(ValueError):
    """It can't be said that the grammar is wrong: the same one may be compiled another time."""


class Trials(threading.local):
    """A process for each thread, started when it is first needed."""

    def __init__(self, seconds: float) -> None:
        """What takes the processor longer than so many seconds is refused."""
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel[Verdict] | None = None

    def run(self, grammar: str, n_vocab: int) -> None:
        """Raises ValueError for a grammar that can't be compiled, NotCompiled if it isn't within bounds."""
        try:
            verdict = self._verdict(Trial(grammar, n_vocab, self._seconds))
        except OSError as error:
            self._end()
            raise NotCompiled(f"no process can be started to try it in ({error.strerror})") from error
        if verdict is None:
            self._end()
            most = f"{self._seconds:g} s or {MOST_MEMORY >> 20} MiB"
            raise NotCompiled(f"it takes too much time or memory to compile: more than {most}")
        if verdict.reason is not None:
            raise ValueError(verdict.reason)

    def _verdict(self, trial: Trial) -> Verdict | None:
        """None: there is none within bounds."""
        channel = self._channel or self._start()
        if not _sent(trial, channel):  # whatever the process has ended of since the last trial, it wasn't this one
            self._end()
            channel = self._start()
            _sent(trial, channel)
        return channel.receive() if channel.ready(STARTING + SHARE * self._seconds) else None

    def _start(self) -> Channel[Verdict]:
        parent, child = socket.socketpair()
        self._channel = Channel(parent, Verdict)
        with child:
            command = [sys.executable, "-m", "backends.llama_cpp.grammar_trial_process", str(child.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[child.fileno()], stdin=subprocess.DEVNULL)
        return self._channel

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._channel = None


def _sent(trial: Trial, channel: Channel[Verdict]) -> bool:
    """False: the process has ended."""
    try:
        channel.send(trial)
    except ConnectionError:
        return False
    return True
