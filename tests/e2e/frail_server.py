"""`paddock`, but its engines die of one token (tests/backends/dying_engine.py) and are started again at once."""

from __future__ import annotations

import sys

from backends.llama_cpp import backoff, engine_handle
from server.cli import main

if __name__ == "__main__":
    engine_handle.MODULE = "tests.backends.dying_engine"
    backoff.FIRST, backoff.LONGEST = 0.1, 0.1
    sys.exit(main())
