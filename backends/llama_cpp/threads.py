"""How many threads to compute with: physical cores that this process may use."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path


def default_threads() -> int:
    """Physical cores in this process's affinity mask, no more than a container's CPU quota allows; at least 1."""
    cores = _physical_cores() or os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup/cpu.max"))
    return max(1, min(cores, quota) if quota else cores)


def _physical_cores() -> int | None:
    """Cores, hyper-threads counted once; None where the system doesn't say."""
    if sys.platform == "darwin":
        # More threads than performance cores slow llama.cpp down; half the cores are those on most of Apple's chips.
        return max(1, (os.cpu_count() or 2) // 2)
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            return len(os.sched_getaffinity(0))
    return len(cores)


def _cgroup_quota(path: Path) -> int | None:
    """CPUs that a cgroup v2 quota grants, rounded up; None: no limit."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else math.ceil(int(quota) / int(period))
