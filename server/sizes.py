"""Sizes of files for people to read."""

from __future__ import annotations


def shown(size: float) -> str:
    """A number of bytes with three digits or so, in the units that the Hub's pages have: 4.92 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
