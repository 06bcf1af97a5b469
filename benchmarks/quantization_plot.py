"""A picture of what types cost and save: speed, perplexity and divergence over size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

if TYPE_CHECKING:
    from .quantizations import Made

PROMPT, DECODE, QUALITY = "#1f4e79", "#6a994e", "#c0504d"


def plot(models: Sequence[Made], path: Path) -> None:
    """Write an SVG (or what the path's suffix says)."""
    draw = [_draw_speeds, _draw_perplexity, _draw_divergence] if models[0].quality is not None else [_draw_speeds]
    # Text stays text, and the same results give the same file.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "paddock", "font.size": 9}):
        figure, panels = plt.subplots(1, len(draw), figsize=(4.3 * len(draw), 3.8), dpi=80, squeeze=False)
        for axes, draw_panel in zip(panels[0], draw, strict=True):
            draw_panel(axes, models)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def _draw_speeds(axes: Axes, models: Sequence[Made]) -> None:
    """Relative to the original, as prompts and decoding differ by orders of magnitude."""
    ordered = sorted(models, key=lambda made: made.n_bytes)
    sizes = [_mib(made) for made in ordered]
    prompt, decode = median(models[0].prompt_speeds), median(models[0].decode_speeds)
    axes.plot(sizes, [median(m.prompt_speeds) / prompt for m in ordered], "o-", ms=4, color=PROMPT, label="prompt")
    axes.plot(sizes, [median(m.decode_speeds) / decode for m in ordered], "o-", ms=4, color=DECODE, label="decode")
    axes.set_ylabel(f"speed, times that of {models[0].name}")
    axes.legend(frameon=False, loc="lower right")
    heights = [max(median(m.prompt_speeds) / prompt, median(m.decode_speeds) / decode) for m in ordered]
    _finish(axes, ordered, heights)
    axes.set_ylim(0, 1.3 * max(heights))


def _draw_perplexity(axes: Axes, models: Sequence[Made]) -> None:
    """Relative to the original, with the error of that: the perplexities' own is mostly the text's, alike for all."""
    ordered = sorted(models, key=lambda made: made.n_bytes)
    against = [made.quality.divergence if made.quality else None for made in ordered]
    values = [found.ratio.value if found else 1.0 for found in against]
    errors = [found.ratio.error if found else 0.0 for found in against]
    axes.errorbar([_mib(m) for m in ordered], values, errors, fmt="o-", ms=4, color=QUALITY, elinewidth=1, capsize=2)
    axes.set_ylabel(f"perplexity, times that of {models[0].name}")
    _finish(axes, ordered, values)


def _draw_divergence(axes: Axes, models: Sequence[Made]) -> None:
    found = [(made, made.quality.divergence.kl) for made in models if made.quality and made.quality.divergence]
    values, errors = [kl.value for _, kl in found], [kl.error for _, kl in found]
    axes.errorbar([_mib(m) for m, _ in found], values, errors, fmt="o-", ms=4, color=QUALITY, elinewidth=1, capsize=2)
    axes.set_yscale("log")
    axes.set_ylabel(f"KL divergence from {models[0].name}, nats")
    _finish(axes, [made for made, _ in found], values)


def _finish(axes: Axes, models: Sequence[Made], heights: Sequence[float]) -> None:
    axes.set_xlabel("MiB")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, alpha=0.25)
    for made, height in zip(models, heights, strict=True):
        place = (_mib(made), height)
        axes.annotate(made.name, place, xytext=(1, 5), textcoords="offset points", fontsize=7, rotation=60)
    axes.margins(x=0.08, y=0.2)


def _mib(made: Made) -> float:
    return made.n_bytes / 2**20
