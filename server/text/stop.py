"""Stop strings in text that comes in pieces.

The rule does not depend on the pieces: generation ends at the character that completes the first match; of several
stop strings that this character completes, the longest counts. Text is held back only as far as it is the start of a
stop string. Both fall out of an Aho-Corasick automaton (A. Aho, M. Corasick, "Efficient string matching", 1975): its
state is the longest suffix of the text that is a prefix of some stop string.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class _State:
    """A prefix of at least one stop string; the root is the empty one."""

    __slots__ = ("depth", "fallback", "match", "next")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.next: dict[str, _State] = {}
        self.fallback = self
        """The longest proper suffix of this prefix that is a state too; the root's is itself."""
        self.match: str | None = None
        """The longest stop string that ends here."""


class StopStrings:
    """The stop strings of one request, prepared once for all its sequences. Empty ones are ignored."""

    def __init__(self, strings: Iterable[str]) -> None:
        self.root = _State(0)
        for string in strings:
            if string:
                self._add(string)
        self._link()

    def __bool__(self) -> bool:
        return bool(self.root.next)

    def advance(self, state: _State, character: str) -> _State:
        """The state after one more character."""
        while character not in state.next and state is not self.root:
            state = state.fallback
        return state.next.get(character, self.root)

    def _add(self, string: str) -> None:
        state = self.root
        for character in string:
            if character not in state.next:
                state.next[character] = _State(state.depth + 1)
            state = state.next[character]
        state.match = string

    def _link(self) -> None:
        queue = deque([self.root])
        while queue:
            state = queue.popleft()
            for character, child in state.next.items():
                child.fallback = self.root if state is self.root else self.advance(state.fallback, character)
                child.match = child.match or child.fallback.match
                queue.append(child)


class StopMatcher:
    """Watches the text of one sequence."""

    __slots__ = ("_held", "_state", "_strings", "matched")

    def __init__(self, strings: StopStrings) -> None:
        self._strings = strings
        self._state = strings.root
        self._held = ""
        self.matched: str | None = None
        """The stop string that was met. From then on `push` and `finish` release nothing."""

    def push(self, text: str) -> str:
        """Take the next piece of text; returns what can be shown now."""
        if not self._strings:
            return text
        if self.matched is not None:
            return ""
        state = self._state
        for position, character in enumerate(text, 1):
            state = self._strings.advance(state, character)
            if state.match is not None:
                self.matched = state.match
                return self._release(text[:position], len(state.match), keep=False)
        self._state = state
        return self._release(text, state.depth, keep=True)

    def finish(self) -> str:
        """The text still held, at the end of generation."""
        held, self._held = self._held, ""
        return held

    def _release(self, text: str, hold: int, *, keep: bool) -> str:
        text = self._held + text
        cut = len(text) - hold
        self._held = text[cut:] if keep else ""
        return text[:cut]
