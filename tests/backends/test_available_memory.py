"""How much memory is there to take, within a container's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.available_memory import _cgroup_available, available_bytes

GIB = 1 << 30


def _cgroup(root: Path, limit: str, used: int, stat: str | None = None) -> Path:
    (root / "memory.max").write_text(f"{limit}\n")
    (root / "memory.current").write_text(f"{used}\n")
    if stat is not None:
        (root / "memory.stat").write_text(stat)
    return root


def test_this_machine_has_some() -> None:
    assert 1 << 20 < available_bytes() < 1 << 50


@pytest.mark.parametrize(
    ("limit", "used", "stat", "left"),
    [
        (str(8 * GIB), 3 * GIB, None, 5 * GIB),
        (str(8 * GIB), 7 * GIB, f"anon 1\ninactive_file {3 * GIB}\nactive_file {GIB}\n", 5 * GIB),
        (str(8 * GIB), 9 * GIB, "", 0),
        ("max", 3 * GIB, "", None),
    ],
)
def test_a_containers_limit(tmp_path: Path, limit: str, used: int, stat: str | None, left: int | None) -> None:
    assert _cgroup_available(_cgroup(tmp_path, limit, used, stat)) == left


def test_no_container(tmp_path: Path) -> None:
    assert _cgroup_available(tmp_path) is None
