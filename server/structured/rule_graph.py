"""Which rules lead to which: an order for them, and those that lead to each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def callees_first(rules: Mapping[Name, Iterable[Name]]) -> list[Name]:
    """But for cycles. `rules`: what each refers to."""
    order: list[Name] = []
    seen: set[Name] = set()
    for start in rules:
        path = [(start, iter(rules[start]))] if start not in seen else []
        seen.add(start)
        while path:
            name, references = path[-1]
            following = next((other for other in references if other not in seen), None)
            if following is None:
                order.append(name)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(rules[following])))
    return order


def components(rules: Mapping[Name, Iterable[Name]]) -> list[list[Name]]:
    """Groups of rules that lead to each other, or of one that doesn't, each after those that it leads to; in them, too,
    but for cycles.

    Kosaraju's algorithm.
    """
    callers: dict[Name, list[Name]] = {name: [] for name in rules}
    for name, references in rules.items():
        for other in references:
            callers[other].append(name)
    groups: list[list[Name]] = []
    seen: set[Name] = set()
    order = {name: number for number, name in enumerate(callees_first(rules))}
    for start in reversed(order):
        group: list[Name] = []
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                group.append(name)
                waiting += callers[name]
        if group:
            groups.append(sorted(group, key=order.__getitem__))
    return groups[::-1]
