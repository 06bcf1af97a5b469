"""What memory a server's processes have of their own (Linux)."""

from __future__ import annotations

from pathlib import Path

AVAILABLE = Path("/proc/self/smaps_rollup").exists()
PARTS = ("engine_process", "tokenizer_process", "grammar_trial_process")


def own_mib(pid: int) -> dict[str, float]:
    """MiB by process: the server's own, and its children's. Files mapped into memory, as models are, don't count."""
    found = {"server": _anonymous(pid)}
    for child in _descendants(pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes().decode()
        for part in PARTS:
            if part in command:
                found[part] = found.get(part, 0.0) + _anonymous(child)
    return found


def _anonymous(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("smaps_rollup has no such line")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found
