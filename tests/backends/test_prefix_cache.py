"""The radix tree against the plainest model of it: a dict of holders and their tokens."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import AdapterSet
from backends.llama_cpp.prefix_cache import PrefixTree, common_prefix

BASE: AdapterSet = ()
ADAPTED: AdapterSet = ((0, 1.0),)
texts = st.lists(st.integers(0, 2), min_size=1, max_size=12)


def array(tokens: list[int]) -> np.ndarray:
    return np.array(tokens, np.int32)


def shared(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@settings(deadline=None)
@given(texts, texts)
def test_common_prefix(a: list[int], b: list[int]) -> None:
    assert common_prefix(array(a), array(b)) == shared(a, b)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.one_of(texts, st.none()), st.sampled_from([BASE, ADAPTED])), max_size=30),
    texts,
    st.sampled_from([BASE, ADAPTED]),
)
def test_tree_is_the_dict_it_stands_for(
    steps: list[tuple[int, list[int] | None, AdapterSet]], query: list[int], asked: AdapterSet
) -> None:
    tree, all_held = PrefixTree(), dict[int, tuple[AdapterSet, list[int]]]()
    for holder, tokens, adapters in steps:
        if tokens is not None:
            tree.insert(holder, array(tokens), adapters)
            all_held[holder] = (adapters, tokens)
        elif holder in all_held:
            tree.remove(holder)
            del all_held[holder]
    assert set(tree) == set(all_held)
    assert {holder: tree.adapters(holder) for holder in tree} == {h: a for h, (a, _) in all_held.items()}
    assert set(tree._roots) == {adapters for adapters, _ in all_held.values()}
    check(tree, {h: tokens for h, (adapters, tokens) in all_held.items() if adapters == asked}, asked, query)

    def distinct(holders: set[int]) -> int:
        held = [all_held[h] for h in holders]
        return len({(adapters, *tokens[: i + 1]) for adapters, tokens in held for i in range(len(tokens))})

    assert tree.n_tokens == distinct(set(all_held))
    for holder in all_held:
        assert tree.own_tokens(holder) == tree.exclusive_tokens({holder})
    for some in ({0}, {1, 2}, set(all_held)):
        assert tree.exclusive_tokens(some) == distinct(set(all_held)) - distinct(set(all_held) - some)


def check(tree: PrefixTree, held: dict[int, list[int]], adapters: AdapterSet, query: list[int]) -> None:
    """What the tree says of one set of adapters."""
    for holder, tokens in held.items():
        assert tree.tokens(holder).tolist() == tokens
        assert tree.length(holder) == len(tokens)
        others = {other: t for other, t in held.items() if other != holder}
        assert tree.covers(holder) == {o for o, t in others.items() if tokens[: len(t)] == t}
        assert tree.is_covered(holder) == any(t[: len(tokens)] == tokens for t in others.values())

    length, holder = tree.match(array(query), adapters)
    assert length == max((shared(query, t) for t in held.values()), default=0)
    assert holder is None if length == 0 else held[holder][:length] == query[:length]

    length, holder = tree.match_whole(array(query), adapters)
    assert length == max((len(t) for t in held.values() if query[: len(t)] == t), default=0)
    assert holder is None if length == 0 else held[holder] == query[:length]


def test_rename_hands_tokens_over() -> None:
    tree = PrefixTree()
    tree.insert(1, array([1, 2, 3]))
    tree.rename(1, 9)
    assert list(tree) == [9]
    assert tree.match(array([1, 2])) == (2, 9)
