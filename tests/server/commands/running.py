"""`paddock COMMAND` as a process of its own, for tests of commands that work on files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECONDS = 120


def paddock(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The finished command."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "server", *map(str, arguments)]


def failure(*arguments: object, status: int = 1) -> str:
    """The one line on stderr of a command that fails."""
    done = paddock(*arguments)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr
