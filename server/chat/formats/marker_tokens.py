"""Markers that are single tokens of the vocabulary, as single characters of the text that parsers read.

A model that spells such a marker out, letter by letter, means the letters: an answer may be about `<tool_call>`. So
where tokens become text, these tokens become characters that no text has (halves of surrogate pairs, which UTF-8 can't
hold), and only those are markers. Markers that the vocabulary has no token for are told by their letters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from server.chat.formats.markers import Markers, markers

_FIRST, _LAST = 0xD800, 0xDFFF
_CHARACTER = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")


class MarkerTokens:
    """May be used from several threads at once."""

    def __init__(self, ids: Mapping[str, int], control: Collection[int] = ()) -> None:
        """`ids`: the markers, or parts of markers, that are tokens. `control`: those that are never text."""
        names = sorted(ids, key=len, reverse=True)
        forms = {name: chr(_FIRST + number) for number, name in enumerate(names)}
        self.characters = {ids[name]: form for name, form in forms.items()}
        """By the tokens."""
        self._split = re.compile("|".join(map(re.escape, names))) if names else None
        self._forms = forms
        self._names = {ord(form): name for name, form in forms.items()}
        self._shown = {ord(form): "" if ids[name] in control else name for name, form in forms.items()}
        self._known: dict[str, str] = {}

    def form(self, text: str) -> str:
        """A marker as it is in the text."""
        if self._split is None:
            return text
        form = self._known.get(text)
        if form is None:
            form = self._known[text] = self._split.sub(lambda found: self._forms[found.group()], text)
        return form

    def name(self, form: str) -> str:
        """The marker again."""
        return form if form.isascii() else form.translate(self._names)

    def stops(self, stops: Markers) -> Markers:
        """These markers as they are in the text."""
        return stops if self._split is None else markers(*map(self.form, stops.texts))

    def shown(self, text: str) -> str:
        """The text for people: tokens that are no markup where they stand are what they spell, or left out."""
        return text if text.isascii() else text.translate(self._shown)

    def next(self, text: str, at: int) -> int:
        """Where the next token is, or the text's end."""
        found = _CHARACTER.search(text, at) if self._split is not None else None
        return len(text) if found is None else found.start()


SPELLED = MarkerTokens({})
"""No marker is a token."""
