"""The API process's side of the tokenizer: its process, supervised, and `encode`.

If the process dies, it is started again, and the texts that were in it are tried once more, one at a time with the
shortest first: so the text that kills it is known, harms no other, and fails with a clear error at its second crash.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable

import msgspec

from backends.base import BackendError, EngineUnavailable, InvalidRequest, LoadFailed, ModelLoadError, TokenizerInfo

from .async_channel import AsyncChannel
from .tokenizer_messages import Encode, Encoded, EncodeFailed, Forget, Ready, TokenizerEvent

CRASHES_ALLOWED = 1
RESTART_DELAYS = (0.0, 0.2, 1.0, 5.0, 30.0)
"""Seconds before each start in a row without an answer in between; the last one repeats."""
PATIENCE = 10.0
"""Seconds that new texts wait for a process that is being started again. Mostly that takes less than one."""
STOP_TIMEOUT = 5.0
TIME_LIMIT = 60.0
"""Seconds. Millions of characters take a few; the square of them, on some vocabularies, would take hours."""

log = logging.getLogger("paddock.tokenizer")


class _Job:
    """A text whose tokens someone waits for, until `answer` is done."""

    def __init__(self, command: Encode) -> None:
        self.command = command
        self.answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.crashes = 0

    def settle(self, outcome: list[int] | BackendError) -> None:
        if self.answer.done():
            return
        if isinstance(outcome, BackendError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class _Jobs:
    """Which texts are in the process and which are held back: all are sent at once, but one by one after a crash."""

    def __init__(self, send: Callable[[msgspec.Struct], None]) -> None:
        self._send = send
        self._sent: dict[int, _Job] = {}
        self._held: deque[_Job] = deque()
        self._one_by_one = False
        self.up = False
        """Whether there is a process to send to. Call `advance` after setting it."""

    def add(self, job: _Job) -> None:
        self._held.append(job)
        self.advance()

    def advance(self) -> None:
        """Send what may be sent."""
        while self.up and self._held and not (self._one_by_one and self._sent):
            job = self._held.popleft()
            if not job.answer.done():
                self._sent[job.command.id] = job
                self._send(job.command)
        if not self._held and not self._sent:
            self._one_by_one = False

    def forget(self, job: _Job) -> None:
        """Nobody waits for `job` any more. It counts as sent until the process has answered."""
        if job.command.id in self._sent:
            self._send(Forget(job.command.id))

    def answered(self, job_id: int, outcome: list[int] | BackendError) -> None:
        self._sent.pop(job_id).settle(outcome)
        self.advance()

    def crashed(self) -> None:
        """The process is gone: give up the texts that were there at too many crashes, hold the others for the next."""
        self.up = False
        suspects = [job for job in self._sent.values() if not job.answer.done()]
        self._sent.clear()
        for job in suspects:
            job.crashes += 1
            if job.crashes > CRASHES_ALLOWED:
                job.settle(InvalidRequest("the tokenizer crashed on this text"))
        self._one_by_one = bool(suspects)
        waiting = [job for job in (*suspects, *self._held) if not job.answer.done()]
        self._held = deque(sorted(waiting, key=lambda job: len(job.command.text)))

    def fail_all(self, error: str) -> None:
        for job in (*self._sent.values(), *self._held):
            job.settle(EngineUnavailable(error))
        self._sent.clear()
        self._held.clear()


class TokenizerClient:
    """Text to tokens in a process of its own; implements `backends.base.Tokenizer`."""

    info: TokenizerInfo
    _process: subprocess.Popen[bytes]
    _channel: AsyncChannel[TokenizerEvent]

    def __init__(self, path: str, *, verbose: bool = False, time_limit: float = TIME_LIMIT) -> None:
        self._path, self._verbose, self._time_limit = path, verbose, time_limit
        self._jobs = _Jobs(lambda message: self._channel.send(message))
        self._last_id = 0
        self._starts = 0
        self._supervisor: asyncio.Task[None] | None = None
        self._died: float | None = None
        """When, if another process hasn't taken over yet."""
        self._unavailable: str | None = None
        """Why there won't be one soon."""

    @classmethod
    async def start(cls, path: str, *, verbose: bool = False, time_limit: float = TIME_LIMIT) -> TokenizerClient:
        """Load the vocabulary of the GGUF at `path`. Raises ModelLoadError; nothing is left running then.

        `time_limit`: seconds after which a text fails.
        """
        client = cls(path, verbose=verbose, time_limit=time_limit)
        client.launch()
        await client.loaded()
        return client

    def launch(self) -> None:
        """Start the process; it loads while this one does something else before it awaits `loaded`."""
        parent, child = socket.socketpair()
        with child:
            self._process = self._popen(child.fileno())
        self._channel = AsyncChannel(parent, TokenizerEvent)

    async def loaded(self) -> None:
        """Wait for what `launch` has started. Raises ModelLoadError; nothing is left running then."""
        self.info = await self._greeting()
        self._jobs.up = True
        self._supervisor = asyncio.create_task(self._supervise())
        self._supervisor.add_done_callback(self._unsupervised)

    @property
    def ready(self) -> bool:
        """Whether a text sent now would become tokens: at once, or as soon as a process that has died is replaced,
        unless that fails or takes long."""
        return self._unavailable is None and (self._died is None or time.monotonic() - self._died < PATIENCE)

    async def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """The tokens of `text`; a lone surrogate in it counts as U+FFFD. Raises BackendError."""
        if not self.ready:
            raise EngineUnavailable(self._unavailable or "the tokenizer is being started again")
        self._last_id += 1
        job = _Job(Encode(self._last_id, _utf8(text), add_special, parse_special))
        self._jobs.add(job)
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._jobs.forget(job)
            raise

    async def stop(self) -> None:
        """End the process; texts still in it fail."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        self._give_up("the tokenizer has been stopped")
        await self._reap()

    @property
    def pid(self) -> int:
        """The process's id; another one after a restart."""
        return self._process.pid

    def _popen(self, fd: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "backends.llama_cpp.tokenizer_process", str(fd), self._path]
        command.append(str(self._time_limit))
        if self._verbose:
            command.append("--verbose")
        return subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.DEVNULL)

    async def _greeting(self) -> TokenizerInfo:
        """What the process says first. If it is a failure, or nothing, the process is ended."""
        try:
            await self._channel.open()
            message = await self._channel.receive()
            if isinstance(message, Ready):
                return message.info
            if isinstance(message, LoadFailed):
                raise ModelLoadError(message.message)
            raise ModelLoadError(f"cannot load the vocabulary of {self._path}: the tokenizer process died")
        except BaseException as error:
            await self._reap()
            if isinstance(error, msgspec.DecodeError):
                reason = f"cannot load the vocabulary of {self._path}: the tokenizer process is of another version"
                raise ModelLoadError(reason) from error
            raise

    async def _reap(self) -> int:
        """End the process if it hasn't ended; returns its exit status."""
        self._channel.close()
        try:
            return await asyncio.to_thread(self._process.wait, STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return await asyncio.to_thread(self._process.wait)

    def _unsupervised(self, supervisor: asyncio.Task[None]) -> None:
        """It never ends by itself, unless there is a mistake in it: then nobody is to wait for ever."""
        if not supervisor.cancelled():
            log.critical("the tokenizer is no longer supervised", exc_info=supervisor.exception())
            self._give_up("the tokenizer is no longer supervised: restart the server")

    async def _supervise(self) -> None:
        while True:
            await self._channel.each(self._take)
            self._died = time.monotonic()
            self._jobs.crashed()
            log.warning("the tokenizer process died (status %d)", await self._reap())
            while not await self._restart():
                self._give_up("the tokenizer has died and cannot be started again for now")
            self._died = self._unavailable = None
            self._jobs.up = True
            self._jobs.advance()

    def _give_up(self, reason: str) -> None:
        self._unavailable = reason
        self._jobs.fail_all(reason)

    def _take(self, message: TokenizerEvent) -> None:
        self._starts = 0
        if isinstance(message, Encoded):
            self._jobs.answered(message.id, message.tokens)
        elif isinstance(message, EncodeFailed):
            self._jobs.answered(message.id, InvalidRequest(message.message))

    async def _restart(self) -> bool:
        await asyncio.sleep(RESTART_DELAYS[min(self._starts, len(RESTART_DELAYS) - 1)])
        self._starts += 1
        try:
            self.launch()
            info = await self._greeting()
        except (ModelLoadError, OSError) as error:
            log.error("the tokenizer cannot be started again: %s", error)
            return False
        if info != self.info:
            log.error("%s has another vocabulary than when it was loaded", self._path)
            await self._reap()
            return False
        log.info("the tokenizer process is running again")
        return True


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
