"""The `main()` of a server that a command has started for itself (`own_server.py`).

Its settings come through its standard input, which stays open as long as the command runs: its end is the order to end.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time

from server import progress
from server.config import Settings
from server.serve import StartError, serve
from server.terminal.own_server import CANNOT_START

GRACE_SECONDS = 10.0


def main() -> int:
    settings = pickle.load(sys.stdin.buffer)  # from the process that started this one, and from nobody else
    assert isinstance(settings, Settings)
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    progress.QUIET_SECONDS, progress.STEP = 0.0, 0.01  # the command draws a bar from these lines
    try:
        return serve(settings)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_START


def _end_with_the_command() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not `sys.stdin.read`: the interpreter can't end while a thread is in that
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
