"""What tests start heeds signals, however the tests themselves were started."""

from __future__ import annotations

import signal

# nohup, and a shell's background jobs, ignore these, and everything that is started from there would inherit it. What
# has a handler is inherited as the default.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda _number, _frame: None)
