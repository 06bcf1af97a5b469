"""llama.cpp's grammars (GBNF), read into rules.

As llama.cpp reads them (https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md), but for tokens
(`<[1000]>`, `<think>`), which are refused. As in XGrammar's EBNF, names may have underscores, and `|` its own line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

MAX_DEPTH = 50
"""Parentheses in each other."""
MAX_COUNT = 10_000
"""Of counted repetitions."""
MAX_REPEATS = 3
"""Repetitions of one item, of one another: `("a"?)*` in other words."""

# A token begins where the last has ended, and nothing in them gives back what it has taken: time grows with the length.
_TOKEN = re.compile(
    r"""(?P<space>[ \t]+|\#[^\r\n]*)
    | (?P<newline>\r\n|\r|\n)
    | (?P<define>::=)
    | (?P<name>[a-zA-Z0-9_-]+)
    | (?P<literal>"(?:[^"\\]|\\.)*+")
    | (?P<chars>\[(?:[^\]\\]|\\.)*+\])
    | (?P<token>!?<[^>\n]*+>)
    | (?P<count>[*+?]|\{\s*+\d++\s*+(?:,\s*+\d*+\s*+)?\})
    | (?P<mark>[().|])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt\\\"\[\]]))", re.DOTALL)
_SHORT = {"n": "\n", "r": "\r", "t": "\t"}
_WIDEST = 0x10FFFF

Range = tuple[int, int]


class Literal(msgspec.Struct, frozen=True):
    text: str


class Chars(msgspec.Struct, frozen=True):
    """One character in any of the ranges of code points, or in none of them."""

    ranges: tuple[Range, ...]
    negated: bool = False


class Reference(msgspec.Struct, frozen=True):
    name: str


class Sequence(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


class Choice(msgspec.Struct, frozen=True):
    options: tuple[Node, ...]


class Repeat(msgspec.Struct, frozen=True):
    item: Node
    low: int
    high: int | None
    """None: any number."""


Node = Literal | Chars | Reference | Sequence | Choice | Repeat


class GbnfError(ValueError):
    """The grammar can't be used; the message says where and why."""


def read(text: str) -> dict[str, Node]:
    """The rules by name, `root` among them, each referring to rules that there are. Raises GbnfError."""
    reader = _Reader(text)
    rules = dict(reader.rules())
    if "root" not in rules:
        raise GbnfError("it has no rule 'root'")
    for name, at in reader.references.items():
        if name not in rules:
            raise reader.error(f"there is no rule '{name[:40]}'", at)
    return rules


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._lex())
        self._at = 0
        self._depth = 0
        self.references: dict[str, int] = {}
        """Names, and where each is first referred to."""

    def error(self, reason: str, at: int | None = None) -> GbnfError:
        at = self._tokens[self._at][2] if at is None else at
        line = self._text.count("\n", 0, at) + 1
        return GbnfError(f"line {line}: {reason}, at {self._text[at : at + 30]!r}")

    def rules(self) -> Iterator[tuple[str, Node]]:
        self._skip_newlines()
        while self._kind != "end":
            name = self._take("name", "a rule's name")
            self._take("define", "'::='")
            self._skip_newlines()
            yield name, self._choice()
            if self._kind not in ("newline", "end"):
                raise self.error("a rule ends here, or something is missing")
            self._skip_newlines()

    def _lex(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None or found.lastgroup is None:
                raise self.error("this can't be read", at)
            if found.lastgroup != "space":
                yield found.lastgroup, found[0], at
            at = found.end()
        yield "end", "", at

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _take(self, kind: str, what: str) -> str:
        if self._kind != kind:
            raise self.error(f"{what} is missing")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _skip_newlines(self) -> None:
        while self._kind == "newline":
            self._at += 1

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._skip_to_bar():
            self._skip_newlines()
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _skip_to_bar(self) -> bool:
        """It may stand on a line of its own, which llama.cpp allows within parentheses only."""
        at = next(at for at in range(self._at, len(self._tokens)) if self._tokens[at][0] != "newline")
        if self._tokens[at][:2] != ("mark", "|"):
            return False
        self._at = at + 1
        return True

    def _sequence(self) -> Node:
        items: list[Node] = []
        n_repeats = 0
        while True:
            if self._depth:
                self._skip_newlines()
            kind, text, at = self._tokens[self._at]
            if kind in ("newline", "end", "define") or (kind == "mark" and text in "|)"):
                break
            if kind == "name" and not self._depth and self._tokens[self._at + 1][0] == "define":
                raise self.error("a rule begins here, on the line of another")
            self._at += 1
            if kind == "count":
                if not items:
                    raise self.error("there is nothing to repeat", at)
                n_repeats += 1
                if n_repeats > MAX_REPEATS:
                    raise self.error(f"more than {MAX_REPEATS} repetitions of the same", at)
                items[-1] = self._repeat(items[-1], text, at)
            else:
                n_repeats = 0
                items.append(self._item(kind, text, at))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self, kind: str, text: str, at: int) -> Node:
        match kind:
            case "literal":
                return Literal("".join(map(chr, self._decoded(text[1:-1], at))))
            case "chars":
                return self._chars(text[1:-1], at)
            case "name":
                self.references.setdefault(text, at)
                return Reference(text)
            case "token":
                raise self.error("tokens can't be named in this server's grammars", at)
        return Chars((), negated=True) if text == "." else self._group()

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"parentheses are nested more than {MAX_DEPTH} deep")
        choice = self._choice()
        if self._tokens[self._at][1] != ")":
            raise self.error("a ')' is missing")
        self._depth -= 1
        self._at += 1
        return choice

    def _repeat(self, item: Node, text: str, at: int) -> Node:
        if text in "*+?":
            return Repeat(item, text == "+", 1 if text == "?" else None)
        low, comma, high = text[1:-1].replace(" ", "").partition(",")
        if max(len(low), len(high.strip())) > 5 or int(high.strip() or low) > MAX_COUNT or int(low) > MAX_COUNT:
            raise self.error(f"repetitions can be counted to {MAX_COUNT}", at)
        most = int(high.strip()) if high.strip() else None if comma else int(low)
        if most is not None and most < int(low):
            raise self.error("at least this often is more than at most", at)
        return Repeat(item, int(low), most)

    def _chars(self, text: str, at: int) -> Chars:
        negated = text.startswith("^")
        codes = list(self._coded(text[negated:], at))
        ranges = []
        position = 0
        while position < len(codes):
            low = high = codes[position][0]
            position += 1
            if position + 1 < len(codes) and codes[position] == (ord("-"), False):
                high = codes[position + 1][0]
                position += 2
            if high < low:
                raise self.error("a range of characters is the wrong way round", at)
            ranges.append((low, high))
        if not ranges and not negated:
            raise self.error("no character can match this", at)
        return Chars(tuple(ranges), negated)

    def _decoded(self, text: str, at: int) -> Iterator[int]:
        return (code for code, _ in self._coded(text, at))

    def _coded(self, text: str, at: int) -> Iterator[tuple[int, bool]]:
        """Code points, and whether each was escaped."""
        position = 0
        while position < len(text):
            if text[position] != "\\":
                yield ord(text[position]), False
                position += 1
                continue
            found = _ESCAPE.match(text, position)
            if found is None:
                raise self.error(f"this escape is not known: {text[position : position + 2]}", at)
            code = int(found[1] or found[2] or found[3] or "0", 16)
            if found[4]:
                code = ord(_SHORT.get(found[4], found[4]))
            if code > _WIDEST or 0xD800 <= code <= 0xDFFF:
                raise self.error(f"this is no character: {found[0]}", at)
            yield code, True
            position = found.end()
