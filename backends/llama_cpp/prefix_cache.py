"""The prefix index: a radix tree of token prefixes and who holds their KV cells.

Each edge carries a run of tokens; a *holder* (a llama.cpp sequence id, or a RAM copy) sits at the node where its
tokens end and holds every token on the path from the root. Prefixes that several holders share are one path, so the
tree's size in tokens is the number of distinct cells they occupy. What LoRA adapters compute is of no use without
them: each set of adapters has a root of its own. Only an index: it moves no cells.

The idea is SGLang's RadixAttention (arXiv:2312.07104).
"""

from __future__ import annotations

from collections.abc import Iterator, Set

import numpy as np
import numpy.typing as npt

from backends.base import AdapterSet

Tokens = npt.NDArray[np.int32]


def common_prefix(a: Tokens, b: Tokens) -> int:
    """How many leading tokens `a` and `b` share."""
    n = min(len(a), len(b))
    differs = a[:n] != b[:n]
    first = int(differs.argmax()) if n else 0
    return first if n and differs[first] else n


class Node:
    """A run of tokens, and the holders whose tokens end with it."""

    __slots__ = ("children", "holders", "parent", "tokens")

    def __init__(self, tokens: Tokens, parent: Node | None) -> None:
        self.tokens = tokens
        self.parent = parent
        self.children: dict[int, Node] = {}
        self.holders: set[int] = set()

    def any_holder(self) -> int:
        """Someone who holds this node's tokens: a holder here or below (every leaf has one)."""
        node = self
        while not node.holders:
            node = next(iter(node.children.values()))
        return next(iter(node.holders))


class Root(Node):
    """Where everything begins that was computed with the same adapters."""

    __slots__ = ("adapters",)

    def __init__(self, adapters: AdapterSet) -> None:
        super().__init__(np.empty(0, np.int32), None)
        self.adapters = adapters


class PrefixTree:
    """Token prefixes and their holders."""

    def __init__(self) -> None:
        self._roots: dict[AdapterSet, Root] = {}
        self._ends: dict[int, Node] = {}
        self.n_tokens = 0
        """Tokens on all edges: the distinct cells of all holders together."""

    def __contains__(self, holder: int) -> bool:
        return holder in self._ends

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ends)

    def match(self, tokens: Tokens, adapters: AdapterSet = ()) -> tuple[int, int | None]:
        """The longest prefix of `tokens` that somebody holds: its length and one of its holders (or 0, None)."""
        length, node = 0, self._start(adapters)
        while node is not None and length < len(tokens):
            child = node.children.get(int(tokens[length]))
            if child is None:
                break
            shared = common_prefix(child.tokens, tokens[length:])
            length += shared
            node = child
            if shared < len(child.tokens):
                break
        return (length, node.any_holder()) if node is not None and length else (0, None)

    def match_whole(self, tokens: Tokens, adapters: AdapterSet = ()) -> tuple[int, int | None]:
        """The longest holder whose tokens, all of them, are a prefix of `tokens` (for memory that can't be trimmed)."""
        best: tuple[int, int | None] = (0, None)
        length, node = 0, self._start(adapters)
        while node is not None and (child := node.children.get(int(tokens[length]) if length < len(tokens) else -1)):
            if common_prefix(child.tokens, tokens[length:]) < len(child.tokens):
                break
            length += len(child.tokens)
            node = child
            if node.holders:
                best = (length, next(iter(node.holders)))
        return best

    def insert(self, holder: int, tokens: Tokens, adapters: AdapterSet = ()) -> None:
        """`holder` holds `tokens` from now on, computed with these adapters, and nothing else."""
        if holder in self._ends:
            self.remove(holder)
        node, start = self._start(adapters), 0
        if node is None:
            node = self._roots[adapters] = Root(adapters)
        while start < len(tokens):
            child = node.children.get(int(tokens[start]))
            if child is None:
                child = Node(tokens[start:].copy(), node)
                node.children[int(tokens[start])] = child
                self.n_tokens += len(child.tokens)
            else:
                shared = common_prefix(child.tokens, tokens[start:])
                if shared < len(child.tokens):
                    child = self._split(child, shared)
            start += len(child.tokens)
            node = child
        node.holders.add(holder)
        self._ends[holder] = node

    def remove(self, holder: int) -> None:
        """Forget `holder`, and the tokens that nobody else holds."""
        node = self._ends.pop(holder)
        node.holders.discard(holder)
        while node.parent is not None and not node.holders and not node.children:
            del node.parent.children[int(node.tokens[0])]
            self.n_tokens -= len(node.tokens)
            node = node.parent
        if isinstance(node, Root) and not node.children and not node.holders:
            del self._roots[node.adapters]

    def rename(self, old: int, new: int) -> None:
        """Hand everything that `old` holds to `new`."""
        node = self._ends.pop(old)
        node.holders.discard(old)
        node.holders.add(new)
        self._ends[new] = node

    def adapters(self, holder: int) -> AdapterSet:
        """What `holder`'s tokens were computed with."""
        node = self._ends[holder]
        while node.parent is not None:
            node = node.parent
        assert isinstance(node, Root)
        return node.adapters

    def length(self, holder: int) -> int:
        """How many tokens `holder` holds."""
        return sum(len(node.tokens) for node in self._path(holder))

    def tokens(self, holder: int) -> Tokens:
        """The tokens that `holder` holds."""
        runs = [node.tokens for node in self._path(holder)]
        return np.concatenate(runs[::-1]) if runs else np.empty(0, np.int32)

    def covers(self, holder: int) -> set[int]:
        """The other holders whose tokens are a prefix of `holder`'s (the same tokens included)."""
        found = {other for node in self._path(holder) for other in node.holders}
        return found - {holder}

    def is_covered(self, holder: int) -> bool:
        """Whether another holder has all of `holder`'s tokens."""
        end = self._ends[holder]
        return bool(end.children) or len(end.holders) > 1

    def exclusive_tokens(self, holders: Set[int]) -> int:
        """Tokens that nobody outside `holders` holds: the cells that dropping all of them would free."""
        kept: set[int] = set()
        total = 0
        for other, end in self._ends.items():
            if other in holders:
                continue
            node: Node | None = end
            while node is not None and id(node) not in kept:
                kept.add(id(node))
                total += len(node.tokens)
                node = node.parent
        return self.n_tokens - total

    def own_tokens(self, holder: int) -> int:
        """How many tokens `holder` alone holds, from its end backwards: the cells that dropping it would free."""
        total, below = 0, 0
        for node in self._path(holder):
            if node.holders - {holder} or len(node.children) > below:
                break
            total += len(node.tokens)
            below = 1
        return total

    def _start(self, adapters: AdapterSet) -> Node | None:
        return self._roots.get(adapters)

    def _path(self, holder: int) -> Iterator[Node]:
        node = self._ends[holder]
        while node.parent is not None:
            yield node
            node = node.parent

    def _split(self, node: Node, at: int) -> Node:
        """Cut a node in two after `at` tokens; the upper half is returned."""
        parent = node.parent
        assert parent is not None
        upper = Node(node.tokens[:at], parent)
        parent.children[int(node.tokens[0])] = upper
        node.tokens = node.tokens[at:]
        node.parent = upper
        upper.children[int(node.tokens[0])] = node
        return upper
