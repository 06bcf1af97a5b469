"""What a process and its descendants use: memory and processor time, read from Linux's /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MB = 1_000_000
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    megabytes: float
    kind: str
    """PSS: pages shared with others counted in parts; RSS: counted whole, once per process."""


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*"):
        with suppress(OSError):
            children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def memory(pid: int) -> Memory | None:
    """Resident memory of the process and its descendants; None where there is no /proc."""
    for kind, read in (("PSS", _pss), ("RSS", _rss)):
        with suppress(OSError):
            return Memory(sum(read(member) for member in family(pid)) / MB, kind)
    return None


def cpu_seconds(pid: int) -> float:
    """Processor time that the process and its living descendants have used; 0.0 where there is no /proc."""
    total = 0.0
    for member in family(pid):
        with suppress(OSError):
            fields = _stat(member)
            total += (int(fields[11]) + int(fields[12])) * TICK
    return total


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from its third field (the state) on: names may hold spaces."""
    return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()


def _pss(pid: int) -> int:
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _rss(pid: int) -> int:
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
