"""Which rules lead to which."""

from __future__ import annotations

import random

import pytest

from server.structured.rule_graph import callees_first, components


def test_callees_come_first() -> None:
    assert callees_first({"a": ["b", "c"], "b": ["c"], "c": [], "d": ["a"]}) == ["c", "b", "a", "d"]
    assert callees_first({"a": ["b"], "b": ["a"]}) == ["b", "a"]


def test_groups() -> None:
    rules = {"a": ["b", "x"], "b": ["c"], "c": ["b", "d"], "d": ["d"], "x": []}
    assert [group for group in components(rules) if group != ["x"]] == [["d"], ["c", "b"], ["a"]]
    assert sorted(map(sorted, components(rules))) == [["a"], ["b", "c"], ["d"], ["x"]]


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_any_graph(seed: int) -> None:
    dice = random.Random(seed)
    rules = {i: [dice.randrange(12) for _ in range(dice.randrange(3))] for i in range(12)}
    reached = {i: _reached(rules, i) for i in rules}
    groups = components(rules)
    assert sorted(name for group in groups for name in group) == sorted(rules)
    before: set[int] = set()
    for group in groups:
        before.update(group)
        for name in group:
            assert set(group) == {name} | {other for other in reached[name] if name in reached[other]}
            assert reached[name] <= before


def _reached(rules: dict[int, list[int]], start: int) -> set[int]:
    found: set[int] = set()
    waiting = list(rules[start])
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += rules[name]
    return found
