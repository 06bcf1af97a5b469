"""The results as a picture: how many times better Paddock is at each load, with its interval."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from .bootstrap import Estimate
from .loads.base import Measure
from .results import OURS, Comparison, Results
from .targets import target_of

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

COLORS = ("#1f4e79", "#c0504d", "#6a994e", "#8e6c8a", "#d08c2e", "#5f6b75")
ROW_INCHES, FRAME_INCHES = 0.42, 1.5
SPREAD = 0.6
"""Of a row's height: where its contestants are."""


def plot(results: Results, path: Path) -> None:
    """Write an SVG (or what the path's suffix says), if anything was compared. Right of the line at 1, Paddock is
    ahead."""
    compared = [c for c in results.comparisons.values() if len(c.contestants) > 1]
    rows = [(c, m) for c in compared for m in c.measures if c.values(OURS, m.name)]
    if not rows:
        return
    names = dict.fromkeys(name for comparison, _ in rows for name in comparison.contestants if name != OURS)
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
    # Text stays text, and the same results give the same file.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "paddock"}):
        figure, axes = plt.subplots(figsize=(9, FRAME_INCHES + ROW_INCHES * len(rows)), dpi=110)
        for row, (comparison, measure) in enumerate(rows):
            _draw_row(axes, row, comparison, measure, colors)
        _draw_frame(axes, [f"{comparison.load}: {measure.name}" for comparison, measure in rows], colors)
        axes.set_title(f"Paddock, {results.model}: times better than …")
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, bbox_inches="tight")
        plt.close(figure)


def _draw_row(axes: Axes, row: int, comparison: Comparison, measure: Measure, colors: dict[str, str]) -> None:
    for place, (name, color) in enumerate(colors.items()):
        found = comparison.against(name, measure.name)
        if found is None or found.low <= 0:
            continue
        height = row + SPREAD * ((place + 0.5) / len(colors) - 0.5)
        gain = _gain(found, measure.higher_is_better)
        axes.plot([gain.low, gain.high], [height, height], color=color, linewidth=2, alpha=0.6)
        axes.plot([gain.value], [height], "o", color=color, markersize=4)
        target = target_of(comparison.load, measure.name, name)
        if target and not target.difference:
            bound = target.bound if measure.higher_is_better else 1 / target.bound
            axes.plot([bound], [height], "|", color=color, markersize=9, markeredgewidth=1.5)


def _draw_frame(axes: Axes, labels: list[str], colors: dict[str, str]) -> None:
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(True, axis="x", alpha=0.25)
    axes.set_xlabel("median of the pairs, and its 95 % interval; | the target")
    handles = [Line2D([], [], color=color, marker="o", markersize=4, label=name) for name, color in colors.items()]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.8 / len(labels)), ncols=3, frameon=False)


def _gain(found: Estimate, higher_is_better: bool) -> Estimate:
    """How many times better ours is, whichever way better is."""
    if higher_is_better:
        return found
    return Estimate(1 / found.value, 1 / found.high, 1 / found.low)
