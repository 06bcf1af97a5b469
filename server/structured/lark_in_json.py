"""Lark grammars of texts that are written in JSON strings: the same grammar, of what stands for the texts there.

Most of that is writing `\\n` for a newline. But llguidance ends a terminal where a character can't go on with it,
looking back by one byte, and an escape has two: after `/[ \\t\\n]+/`, a backslash would always be read as another of
its own. So a terminal that can have characters which JSON escapes becomes a grammar of its own, with a terminal for
each character or escape. It may then end wherever the grammar around it can go on; before, only where it couldn't.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from server.chat.formats.grammar import quoted, regex
from server.chat.formats.json_string import escaped
from server.structured.lark import checked
from server.structured.lark_terminals import TerminalReader, imported, string_value
from server.structured.lark_tokens import Token
from server.structured.place import Place
from server.structured.regex_tree import (
    ESCAPED,
    Chars,
    Either,
    Run,
    Times,
    Tree,
    Unknown,
    Unreadable,
    any_case,
    character_class,
    parts_of,
    text,
    tree,
)

MAX_WRITTEN = 256 * 1024
"""Characters of the grammar that comes of it."""
MAX_PARTS = 20_000
"""Of a terminal, all others in it written out."""
_CODES = {char: regex(escaped(char)) for char in ESCAPED}


def lark_in_json_rule(grammar: str, place: Place) -> str:
    """The body of a rule for what stands for such texts between a JSON string's quotation marks. Raises a 400."""
    try:
        lines = _Writer(_items(checked(grammar, place))).lines()
    except Unreadable as error:
        raise place.error(f"can't be enforced in a JSON string, in which models write it: {error}.") from None
    except RecursionError:
        raise place.error("has terminals nested too deep.") from None
    return f"%lark {{\n{lines}\n}}"


class _Item(NamedTuple):
    """A definition, or a directive."""

    head: list[Token]
    """The name and what stands behind it, up to the colon; `%ignore`; all of an import."""
    body: list[Token]

    @property
    def name(self) -> str:
        return self.head[0].text


def _items(tokens: Sequence[Token]) -> list[_Item]:
    lines: list[list[Token]] = [[]]
    for token, following in pairwise(tokens):
        if token.kind != "newline":
            lines[-1].append(token)
        elif following.text != "|":
            lines.append([])
    return [_item(line) for line in lines if line]


def _item(line: list[Token]) -> _Item:
    if line[0].kind == "directive":
        return _Item(line, []) if line[0].text == "%import" else _Item(line[:1], line[1:])
    colon = next(i for i, token in enumerate(line) if token.text == ":" and token.kind == "mark")
    return _Item(line[: colon + 1], line[colon + 1 :])


class _Writer:
    def __init__(self, items: list[_Item]) -> None:
        self._items = items
        self._bodies: dict[str, list[Token]] = {}
        """Of terminals, by name."""
        self._trees: dict[str, Tree] = {}
        self._begun: set[str] = set()
        """Those of them that have been looked for."""
        self._looked_at: dict[int, tuple[Tree, bool, int]] = {}
        """By their ids: trees, whether there is something to escape in them, and their size."""
        self._size = 0
        for item in items:
            if item.head[0].text == "%import":
                self._bodies |= dict(imported(item.head))
            elif _is_terminal(item.head[0]):
                self._bodies[item.name] = item.body

    def lines(self) -> str:
        """The new grammar."""
        lines = [line for item in self._items for line in self._lines(item)]
        lines += [
            f"{_rule_name(name)}: %lark {{\nstart: {self._written(found)}\n}}"
            for name, found in self._trees.items()
            if self._escaped(found)
        ]
        return "\n".join(lines)

    def _lines(self, item: _Item) -> Iterator[str]:
        if item.name == "%import":
            yield " ".join(token.text for token in item.head)
        elif item.name == "%ignore":
            yield f"%ignore /{self._ignored(self._tree(item.body))}/" if self._special(item.body) else _joined(item)
        elif not _is_terminal(item.head[0]):
            if len(item.head) > 2 and (self._special(item.body) or self._special(item.head[2:-2])):
                raise Unreadable(f"'{item.name[:40]}' has attributes, and characters that JSON escapes")
            yield f"{' '.join(token.text for token in item.head)} {' '.join(self._rule_body(item.body))}"
        elif not self._special(item.body):
            yield _joined(item)

    def _rule_body(self, tokens: list[Token]) -> Iterator[str]:
        for token, found in self._atoms(tokens):
            if found is None or not self._escaped(found):
                yield token
            elif token.startswith('"') and isinstance(found, Run) and not token.endswith("i"):
                yield quoted(escaped(string_value(token)))
            elif _is_name(token):
                yield _rule_name(token)
            else:
                name = f"inline {token}"
                self._trees.setdefault(name, found)
                yield _rule_name(name)

    def _special(self, tokens: list[Token]) -> bool:
        return any(found is not None and self._escaped(found) for _, found in self._atoms(tokens))

    def _escaped(self, tree: Tree) -> bool:
        return self._look(tree)[1]

    def _look(self, tree: Tree) -> tuple[Tree, bool, int]:
        """Terminals may be parts of others many times over: each is looked at once."""
        if id(tree) not in self._looked_at:
            parts = [self._look(part) for part in parts_of(tree)]
            size = 1 + sum(size for _, _, size in parts)
            if size > MAX_PARTS:
                raise Unreadable("it comes to be too large")
            escaped_here = isinstance(tree, Chars) and bool(tree.escaped)
            self._looked_at[id(tree)] = tree, escaped_here or any(part[1] for part in parts), size
        return self._looked_at[id(tree)]

    # --- what terminals are ---

    def _atoms(self, tokens: list[Token]) -> Iterator[tuple[str, Tree | None]]:
        """As they are written, and what they match; None: that is for others to say."""
        at = 0
        while at < len(tokens):
            token = tokens[at]
            written = token.text
            at += 1
            if token.kind == "string" and at < len(tokens) and tokens[at].text == "..":
                written += f" .. {tokens[at + 1].text}"
                low, high = (string_value(end.text) for end in (token, tokens[at + 1]))
                at += 2
                if len(low) != 1 or len(high) != 1:
                    raise Unreadable(f"{written[:40]} is no range of characters")
                yield written, character_class(f"[{re.escape(low)}-{re.escape(high)}]")
            elif token.kind == "directive":
                written += f" {tokens[at].text}"
                at += 1
                if any(char in ESCAPED for part in _texts(json.loads(tokens[at - 1].text)) for char in part):
                    raise Unreadable("%regex is of a text with characters that JSON escapes")
                yield written, Unknown(written)
            else:
                yield written, self._atom(token)

    def _atom(self, token: Token) -> Tree | None:
        if token.kind == "string":
            found = text(string_value(token.text))
            return any_case(found) if token.text.endswith("i") else found
        if token.kind == "regex":
            pattern, _, flags = token.text[1:].rpartition("/")
            return any_case(tree(pattern, flags)) if "i" in flags else tree(pattern, flags)
        if token.kind == "special":
            raise Unreadable(f"{token.text[:40]} is a token, not a text")
        return self._terminal(token.text) if _is_terminal(token) and token.text in self._bodies else None

    def _terminal(self, name: str) -> Tree:
        if name not in self._trees:
            if name in self._begun:
                raise Unreadable(f"the terminal '{name[:40]}' leads to itself")
            self._begun.add(name)
            found = self._tree(self._bodies[name])
            self._look(found)
            self._trees[name] = found
        return self._trees[name]

    def _tree(self, tokens: list[Token]) -> Tree:
        """Of a terminal's body."""
        return TerminalReader(list(self._atoms(tokens))).read()

    # --- how they are written ---

    def _written(self, tree: Tree, following: str = "", *, last: bool = True) -> str:
        """As the body of a rule. `following`: the character that comes next, where there is only one; `last`: nothing
        comes next."""
        match tree:
            case Chars():
                written = f"/{_code(tree)}/"
                self._size += len(written)
                if self._size > MAX_WRITTEN:
                    raise Unreadable("it comes to be too large")
            case Unknown():
                raise Unreadable(f"{tree.written[:40]!r} is a part of a terminal with characters that JSON escapes")
            case Run(parts=parts):
                nexts = [*map(_only, parts[1:]), following]
                ends = [False] * (len(parts) - 1) + [last]
                written = " ".join(map(self._written_part, parts, nexts, ends)) or '""'
            case Either(parts=parts):
                written = f"({' | '.join(self._written(part, last=False) for part in parts)})"
            case Times():
                written = self._written_times(tree, following, last=last)
        return written

    def _written_part(self, part: Tree, following: str, last: bool) -> str:
        return self._written(part, following, last=last)

    def _written_times(self, times: Times, following: str, *, last: bool) -> str:
        part, low, high = times
        bounds = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((low, high))
        whole_text = isinstance(part, Chars) and part.plain and part.escaped and high is None and low < 2
        if isinstance(part, Chars) and whole_text and (last or (following and not _matches(part, following))):
            # all of it up to an escape at once: what follows can't be a part of it
            return f"(/{part.plain}+/ | /{_code(Chars('', part.escaped))}/){bounds}"
        count = bounds or f"{{{low},{'' if high is None else high}}}"
        return f"({self._written(part, last=False)}){count}"

    def _ignored(self, tree: Tree) -> str:
        """As a regular expression; it is repeated anyway."""
        match tree:
            case Chars():
                return _code(tree)
            case Times(part=Chars() as part, low=0 | 1, high=None):
                ways = [f"{part.plain}+"] if part.plain else []
                return "|".join([*ways, _code(Chars("", part.escaped))] if part.escaped else ways)
            case Either(parts=parts):
                return "|".join(map(self._ignored, parts))
            case Run(parts=(part,)):
                return self._ignored(part)
        raise Unreadable("%ignore can only be of single characters, if JSON escapes any of them")


def _is_terminal(token: Token) -> bool:
    return token.kind == "name" and token.text.lstrip("_!?")[:1].isupper()


def _is_name(written: str) -> bool:
    return written.lstrip("_")[:1].isupper()


def _rule_name(name: str) -> str:
    return f"in_json_{name.encode().hex()}"


def _joined(item: _Item) -> str:
    return " ".join(token.text for token in (*item.head, *item.body))


def _texts(value: object) -> list[str]:
    """Those in the JSON after `%regex`, which has one member."""
    found = list(value.values()) if isinstance(value, dict) else []
    return [part for each in found for part in (each if isinstance(each, list) else [each]) if isinstance(part, str)]


def _code(chars: Chars) -> str:
    """A regular expression for what stands for the character."""
    ways = [chars.plain] if chars.plain else []
    ways += [_CODES[char] for char in chars.escaped]
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def _only(tree: Tree) -> str:
    """The character that it is or begins with, if there is only one; "" if that isn't known."""
    match tree:
        case Chars(plain="", escaped=char) if len(char) == 1:
            return char
        case Chars(plain=plain, escaped="") if len(plain.removeprefix("\\")) == 1:
            return plain.removeprefix("\\")
        case Run(parts=(first, *_)):
            return _only(first)
    return ""


def _matches(chars: Chars, char: str) -> bool:
    try:
        return char in chars.escaped or re.fullmatch(_python(chars.plain), char) is not None
    except re.error:  # what Python doesn't know
        return True


def _python(plain: str) -> str:
    """`[[…]--[…]]` as Python understands it."""
    return plain.removeprefix("[").partition("--[")[0] if plain.startswith("[[") else plain
