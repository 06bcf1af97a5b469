"""What terminals of Lark's match: their operators, strings, and llguidance's own ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from server.structured.lark_tokens import Token
from server.structured.regex_tree import Either, Run, Times, Tree, Unreadable

_HEX = re.compile(r"\\(?:x(..)|.)")
_NUMBER = r"[0-9]+\.[0-9]*|\.[0-9]+"
_EXPONENT = r"[eE](\+|-)?[0-9]+"
_FLOAT = rf"({_NUMBER})({_EXPONENT})?|[0-9]+{_EXPONENT}"
IMPORTED = {
    "DIGIT": "[0-9]",
    "HEXDIGIT": "[a-fA-F0-9]",
    "INT": "[0-9]+",
    "SIGNED_INT": r"(\+|-)?[0-9]+",
    "DECIMAL": _NUMBER,
    "_EXP": _EXPONENT,
    "FLOAT": _FLOAT,
    "SIGNED_FLOAT": rf"(\+|-)?({_FLOAT})",
    "NUMBER": rf"[0-9]+|{_FLOAT}",
    "SIGNED_NUMBER": rf"(\+|-)?([0-9]+|{_FLOAT})",
    "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]",
    "LETTER": "[A-Za-z]",
    "WORD": "[A-Za-z]+",
    "CNAME": "[_A-Za-z][_A-Za-z0-9]*",
    "ESCAPED_STRING": r"\"([^\"\\]|\\.)*\"",
    "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+",
    "CR": r"\r",
    "LF": r"\n",
    "NEWLINE": r"(\r?\n)+",
    "SH_COMMENT": r"#[^\n]*",
    "CPP_COMMENT": r"//[^\n]*",
    "C_COMMENT": r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/",
    "SQL_COMMENT": r"--[^\n]*",
}
"""llguidance's own terminals."""


class TerminalReader:
    """Lark's operators, over atoms that are read."""

    def __init__(self, atoms: list[tuple[str, Tree | None]]) -> None:
        self._atoms = atoms
        self._at = 0

    def read(self) -> Tree:
        return self._alternatives()

    def _alternatives(self) -> Tree:
        parts = [self._run()]
        while self._take("|"):
            parts.append(self._run())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _run(self) -> Tree:
        parts = []
        while self._next not in ("", "|", ")", "]", "->"):
            parts.append(self._quantified(self._atom()))
        if self._take("->"):
            self._at += 1
        return parts[0] if len(parts) == 1 else Run(tuple(parts))

    @property
    def _next(self) -> str:
        return self._atoms[self._at][0] if self._at < len(self._atoms) else ""

    def _take(self, mark: str) -> bool:
        found = self._next == mark
        self._at += found
        return found

    def _atom(self) -> Tree:
        if self._take("("):
            inner = self._alternatives()
            self._take(")")
            return inner
        if self._take("["):
            inner = self._alternatives()
            self._take("]")
            return Times(inner, 0, 1)
        written, found = self._atoms[self._at]
        self._at += 1
        if found is None:
            raise Unreadable(f"{written[:40]!r} stands in a terminal")
        return found

    def _quantified(self, part: Tree) -> Tree:
        for mark, low, high in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(mark):
                return Times(part, low, high)
        if self._take("~"):
            low = high = self._number()
            return Times(part, low, self._number() if self._take("..") else high)
        if self._take("{"):
            low = 0 if self._next == "," else self._number()
            high = low if not self._take(",") else self._number() if self._next != "}" else None
            self._take("}")
            return Times(part, low, high)
        return part

    def _number(self) -> int:
        self._at += 1
        return int(self._atoms[self._at - 1][0])


def imported(tokens: list[Token]) -> Iterator[tuple[str, list[Token]]]:
    """What they are, under their names here."""
    names = [token.text for token in tokens if token.kind == "name"]
    if any(token.text == "->" for token in tokens):
        names = [f"{names[-2]}\0{names[-1]}"]
    for name in names:
        terminal, _, alias = name.partition("\0")
        if terminal in IMPORTED:
            pattern = re.sub(r"(?<!\\)/", r"\\/", IMPORTED[terminal])
            yield alias or terminal, [Token("regex", f"/{pattern}/", 0)]


def string_value(written: str) -> str:
    """What a string of Lark's says: JSON's, and `\\xHH`."""
    plain = _HEX.sub(lambda found: f"\\u00{found[1]}" if found[1] else found[0], written.removesuffix("i"))
    value: str = json.loads(plain)
    return value
