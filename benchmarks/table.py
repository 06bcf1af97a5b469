"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from .bootstrap import FEWEST, Estimate
from .loads.base import Measure
from .results import OURS, Comparison, Results
from .targets import target_of

HEAD = """\
| load | measure | Paddock | against | its figure | Paddock / it [95 %] | target | |
| --- | --- | ---: | --- | ---: | --- | --- | --- |"""


def markdown(results: Results) -> str:
    """The table, what its loads are, and how it was measured."""
    comparisons = results.comparisons.values()
    rows = [row for comparison in comparisons for row in _rows(comparison)]
    loads = [f"- `{c.load}`: {c.what} ({_settings(c)})" for c in comparisons]
    notes = [f"- `{c.load}`: {note}" for c in comparisons for note in c.notes]
    machine = [f"- {key}: {value}" for key, value in results.machine.items()]
    parts = [
        f"# {results.model}",
        "\n".join([HEAD, *rows]),
        "Figures are medians of runs. Ratios (or differences, with their unit) are medians of the pairs of a round, "
        f"not ratios of those figures. An interval of fewer than {FEWEST} rounds is less sure than 95 %.",
        "\n".join(loads),
        *(["\n".join(["Notes:", "", *notes])] if notes else []),
        "\n".join(machine),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(comparison: Comparison) -> Iterator[str]:
    for measure in comparison.measures:
        ours = comparison.values(OURS, measure.name)
        if not ours:
            continue
        for name in comparison.contestants:
            theirs = comparison.values(name, measure.name)
            if name != OURS and theirs:
                yield _row(comparison, measure, name, median(ours), median(theirs))
        if len(comparison.contestants) == 1:
            yield f"| {comparison.load} | {_titled(measure)} | {_figure(median(ours))} {measure.unit} | | | | | |"


def _row(comparison: Comparison, measure: Measure, name: str, ours: float, theirs: float) -> str:
    target = target_of(comparison.load, measure.name, name)
    as_difference = target is not None and target.difference
    found = comparison.against(name, measure.name, as_difference=as_difference)
    cells = [
        comparison.load,
        _titled(measure),
        f"{_figure(ours)} {measure.unit}",
        name,
        _figure(theirs),
        _estimate(found, measure.unit if as_difference else "") if found else "",
        f"{target}{f' {measure.unit}' if as_difference else ''}" if target else "",
        target.verdict(found) if target and found else "",
    ]
    return f"| {' | '.join(cells)} |"


def _titled(measure: Measure) -> str:
    """With an arrow to where better is."""
    return f"{measure.name} {'↑' if measure.higher_is_better else '↓'}"


def _estimate(found: Estimate, unit: str) -> str:
    """A ratio; with a unit, a difference."""
    sign = "+" if unit else ""
    value, low, high = (f"{number:{sign}.3g}" for number in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]{f' {unit}' if unit else ''}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _settings(comparison: Comparison) -> str:
    settings = {**comparison.settings, "rounds": str(len(comparison.rounds))}
    shares = f"client at most {comparison.client_share:.1%} of a core, idle servers {comparison.idle_share:.1%}"
    return f"{', '.join(f'{key} {value}' for key, value in settings.items())}; {shares}; {comparison.date[:10]}"
