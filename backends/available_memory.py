"""How much RAM there is to take."""

from __future__ import annotations

import os
from pathlib import Path


def available_bytes() -> int:
    """Memory that can be taken now without swapping, within a container's limit."""
    free = _meminfo_available() or _physical_bytes()
    limit = _cgroup_available(Path("/sys/fs/cgroup"))
    return min(free, limit) if limit is not None else free


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cgroup_available(root: Path) -> int | None:
    """What is left of a cgroup v2 memory limit; None: no limit. Files that it has read can be dropped."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + _cached(root))


def _cached(root: Path) -> int:
    try:
        figures = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        return int(figures.get("inactive_file", 0)) + int(figures.get("active_file", 0))
    except (OSError, ValueError):
        return 0
