"""The table and the picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.loads.base import Measure
from benchmarks.results import Comparison, Results, Run
from benchmarks.table import markdown


def comparison(load: str, measure: Measure, ours: list[float], theirs: list[float]) -> Comparison:
    rounds = [
        [Run("paddock", {measure.name: a}, 1.0, 0.01), Run("llama-server", {measure.name: b}, 1.0)]
        for a, b in zip(ours, theirs, strict=True)
    ]
    return Comparison(load, "what it is", [measure], {"threads": "2"}, "2026-01-31", rounds)


@pytest.fixture
def results() -> Results:
    decode = comparison("single", Measure("decode", "tok/s", True), [110, 121, 132], [100, 100, 100])
    memory = comparison("start", Measure("memory", "MB", False), [800, 810, 820], [500, 500, 500])
    memory.notes.append("examples/server: gone")
    memory.rounds.append([Run("paddock", {"memory": 2000}, 1.0)])
    return Results("a model", {"processor": "some"}, {"single": decode, "start": memory})


def test_a_ratio_stands_beside_its_target(results: Results) -> None:
    assert "| single | decode ↑ | 121 tok/s | llama-server | 100 | 1.21 [1.1, 1.32] | ≥ 0.98 × | met |" in markdown(
        results
    )


def test_a_difference_has_a_unit(results: Results) -> None:
    row = "| start | memory ↓ | 815 MB | llama-server | 500 | +310 [+300, +320] MB | ≤ +200 MB | missed |"
    assert row in markdown(results)


def test_a_round_without_both_is_no_pair(results: Results) -> None:
    start = results.comparisons["start"]
    assert len(start.rounds) == 4 and start.pairs("llama-server", "memory")[0] == [800, 810, 820]
    assert start.against("nobody", "memory") is None


def test_notes_and_settings_are_told(results: Results) -> None:
    text = markdown(results)
    assert "- `start`: examples/server: gone" in text
    assert "threads 2, rounds 3; client at most 1.0% of a core" in text


def test_a_load_without_peers_has_a_row() -> None:
    alone = Comparison("chat", "", [Measure("total", "tok/s", True)], {}, "2026", [[Run("paddock", {"total": 5.0}, 1)]])
    assert "| chat | total ↑ | 5 tok/s | | | | | |" in markdown(Results("m", {}, {"chat": alone}))


def test_the_picture_is_the_same_for_the_same_results(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plot import plot

    for name in ("a.svg", "b.svg"):
        plot(results, tmp_path / name)
    picture = (tmp_path / "a.svg").read_text()
    assert picture == (tmp_path / "b.svg").read_text()
    assert "single: decode" in picture and "llama-server" in picture
