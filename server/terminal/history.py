"""Where the lines that were typed are kept from one chat to the next, for nobody else to read."""

from __future__ import annotations

import os
from pathlib import Path


def history_file() -> Path | None:
    """The file, there; None if it can't be written. As the XDG base directories have it."""
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        home = Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()
        path = home / "paddock" / "chat-history"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except (OSError, RuntimeError):  # the latter where there is no home, as containers have it
        return None
    return path
