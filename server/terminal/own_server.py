"""A server that a command starts for itself: at a free port, for nobody else, and gone when the command is.

The server is a process of its own (`own_server_process.py`). It gets its settings through its standard input and ends
when that is closed, as it is whichever way this process ends. Its clients need a key that only this process has.
"""

from __future__ import annotations

import dataclasses
import pickle
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from server.access.keys import hashed
from server.commands.command import CommandError
from server.config import Settings
from server.progress import LoadingBar

MODULE = "server.terminal.own_server_process"
CANNOT_START = 3
"""The exit status of a server whose last line says why it can't start."""
LISTENING = re.compile(r"listening at (http://[^\s,]+)")
LOADING = re.compile(r"\bloading (.+): (\d+) %")
KEPT_LINES = 200
POLL_SECONDS = 0.05
END_SECONDS = 15.0


class OwnServer:
    """A running server. `url` ends with /v1."""

    def __init__(self, process: subprocess.Popen[bytes], api_key: str) -> None:
        self._process = process
        self.api_key = api_key
        self.url = ""
        self._log: deque[str] = deque(maxlen=KEPT_LINES)
        self._bar: LoadingBar | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def check(self) -> None:
        """Raises CommandError if the server has ended; its log is on stderr then, unless one line says it all."""
        if (status := self._process.poll()) is None:
            return
        self._reader.join(timeout=1)
        if status == CANNOT_START and self._log:
            raise CommandError(self._log[-1].strip())
        sys.stderr.writelines(self._log)
        raise CommandError(f"its server ended with status {status}")

    def wait_until_ready(self) -> None:
        """Raises CommandError if it never will be."""
        import httpx2  # a third of a second, while the server loads; which imports this module too, without need for it

        try:
            with httpx2.Client(trust_env=False, timeout=60) as http:
                while True:
                    self.check()
                    with suppress(httpx2.TransportError):  # it may just have ended: `check` tells
                        if self.url and http.get(f"{self.url}/health").status_code == 200:
                            return
                    time.sleep(POLL_SECONDS)
        finally:
            if self._bar is not None:
                self._bar.close()

    def _read(self) -> None:
        """The log: where the server listens, how far it has loaded, and what to show if it fails."""
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.decode("utf-8", "replace")
            if loading := LOADING.search(line):
                self._bar = self._bar or LoadingBar(loading[1])
                self._bar(int(loading[2]) / 100)
                continue
            self._log.append(line)
            if not self.url and (listening := LISTENING.search(line)):
                self.url = listening[1]


@contextmanager
def own_server(settings: Settings) -> Iterator[OwnServer]:
    """A server with these settings but for where it listens and who may use it, ready, until the end of the body.

    Shows a loading bar on a terminal. Raises CommandError if the server can't start.
    """
    key = secrets.token_urlsafe(32)
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the command, not for its server
    )
    try:
        server = OwnServer(process, key)
        _send(process, _private(settings, key))
        server.wait_until_ready()
        yield server
    finally:
        _end(process)


def _private(settings: Settings, key: str) -> Settings:
    return dataclasses.replace(
        settings,
        host="127.0.0.1",
        port=0,
        admin_port=None,
        api_key=(),
        admin_key=(hashed(key),),
        api_key_file=None,
        ssl_key_file=None,
        ssl_cert_file=None,
        cors_origins=(),
        drain_delay=0.0,
        drain_timeout=0.0,
        log_level="debug" if settings.log_level == "debug" else "info",  # it tells the address
        log_format="text",
    )


def _send(process: subprocess.Popen[bytes], settings: Settings) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # `check` says why
        pickle.dump(settings, process.stdin)
        process.stdin.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Also if whoever waits for it is interrupted again."""
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            process.stdin.close()
            process.wait(END_SECONDS)
    finally:
        process.kill()
        process.wait()
