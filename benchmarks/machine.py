"""Where and with what was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from backends.llama_cpp.library import versions
from server.version import __version__

ROOT = Path(__file__).parents[1]


def describe() -> dict[str, str]:
    """The machine, and the llama.cpp that Paddock runs on."""
    engine = versions()
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "llama.cpp in paddock": f"{engine.llama_cpp}, commit {engine.commit} (llama-cpp-python {engine.binding})",
    }


def checkout() -> str:
    """Paddock's version and commit."""
    return f"{__version__}{_commit()}"


def version_of(program: Path) -> str:
    """What a llama.cpp program says it is, in a line."""
    lines = [line for line in _output([str(program), "--version"]).splitlines() if "version" in line]
    return lines[0].removeprefix("version:").strip() if lines else "of unknown version"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    commit = _output(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    if not commit:
        return ""
    changed = _output(["git", "-C", str(ROOT), "status", "--porcelain", "backends", "server"]).strip()
    return f" of commit {commit}" + (" and changes" if changed else "")


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""
