"""How large a KV pool this machine's memory has room for, estimated from the GGUF's own figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

BYTES_PER_VALUE = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
"""Bytes that a value takes in the KV cache, by `-ctk`/`-ctv` type: the types llama.cpp allows there."""

USABLE = 0.8
"""Share of the memory at hand that the KV pool may take: the rest is for compute buffers and everybody else."""


def cell_bytes(metadata: Mapping[str, str], type_k: str, type_v: str) -> float:
    """Bytes of one KV cell over all layers, from a GGUF's metadata. 0.0 if the metadata doesn't tell (no attention)."""
    arch = metadata.get("general.architecture", "")

    def number(key: str) -> float:
        value = metadata.get(f"{arch}.{key}", "")
        return float(value) if value.replace(".", "", 1).isdigit() else 0.0

    heads = number("attention.head_count")
    heads_kv = number("attention.head_count_kv") or heads
    if not heads:
        return 0.0
    head_size = number("embedding_length") / heads
    key_size = number("attention.key_length") or head_size
    value_size = number("attention.value_length") or head_size
    per_layer = heads_kv * (key_size * BYTES_PER_VALUE[type_k] + value_size * BYTES_PER_VALUE[type_v])
    return number("block_count") * per_layer


def available_bytes() -> int:
    """Memory that can be taken now without swapping, within a container's limit."""
    free = _meminfo_available() or _physical_bytes()
    limit = _cgroup_available(Path("/sys/fs/cgroup"))
    return min(free, limit) if limit is not None else free


def fitting_cells(wanted: int, bytes_per_cell: float, available: int) -> int:
    """`wanted`, or as many cells (a multiple of 256, at least 512) as fit in `available` bytes."""
    if bytes_per_cell <= 0:
        return wanted
    room = int(available * USABLE / bytes_per_cell)
    return wanted if wanted <= room else max(512, room // 256 * 256)


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cgroup_available(root: Path) -> int | None:
    """What is left of a cgroup v2 memory limit; None: no limit."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)
