"""The radix tree against the plainest model of it: a dict of holders and their tokens."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.llama_cpp.prefix_cache import PrefixTree, common_prefix

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
@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(texts, st.none())), max_size=30), texts)
def test_tree_is_the_dict_it_stands_for(steps: list[tuple[int, list[int] | None]], query: list[int]) -> None:
    tree, held = PrefixTree(), dict[int, list[int]]()
    for holder, tokens in steps:
        if tokens is not None:
            tree.insert(holder, array(tokens))
            held[holder] = tokens
        elif holder in held:
            tree.remove(holder)
            del held[holder]
    assert set(tree) == set(held)
    for holder, tokens in held.items():
        assert tree.tokens(holder).tolist() == tokens
        assert tree.length(holder) == len(tokens)
        others = {other: t for other, t in held.items() if other != holder}
        assert tree.covers(holder) == {o for o, t in others.items() if tokens[: len(t)] == t}
        assert tree.is_covered(holder) == any(t[: len(tokens)] == tokens for t in others.values())

    def distinct(holders: set[int]) -> int:
        return len({tuple(held[h][: i + 1]) for h in holders for i in range(len(held[h]))})

    assert tree.n_tokens == distinct(set(held))
    for some in ({0}, {1, 2}, set(held)):
        assert tree.exclusive_tokens(some) == distinct(set(held)) - distinct(set(held) - some)

    length, holder = tree.match(array(query))
    assert length == max((shared(query, t) for t in held.values()), default=0)
    assert holder is None if length == 0 else held[holder][:length] == query[:length]

    length, holder = tree.match_whole(array(query))
    assert length == max((len(t) for t in held.values() if query[: len(t)] == t), default=0)
    assert holder is None if length == 0 else held[holder] == query[:length]


def test_rename_hands_tokens_over() -> None:
    tree = PrefixTree()
    tree.insert(1, array([1, 2, 3]))
    tree.rename(1, 9)
    assert list(tree) == [9]
    assert tree.match(array([1, 2])) == (2, 9)
