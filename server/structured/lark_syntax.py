"""Lark's syntax, read into what the rules' outputs are like. What llguidance understands of it, as far as it is safe:

no intersections (`&`) and no complements (`~`), whose automata llguidance builds without looking at its limits (nine
terms, 132 bytes: hours); no verbose regular expressions, whose size doesn't show; no rules with parameters, which are
counters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from server.structured.lark_tokens import Token, unreadable
from server.structured.place import Place
from server.structured.regex import check_regex
from server.structured.shortest import Either, Rule, Run, Shape, Text, Times

MAX_RULES = 400
"""Each may refer to the next: 7 KiB of stack."""
MAX_DEPTH = 25
"""Groups in each other."""
MAX_COUNT = 10_000

_ESCAPE = re.compile(r"\\(?:u.{4}|x..|.)")
_CHOICE = re.compile(r"[\[.*+?|]|\\[a-zA-Z]")
"""In regular expressions without one of these, there is no choice."""
_FIXED_IMPORTS = ("CR", "LF")
_LONGEST_IMPORT = 4
"""Of the shortest texts of the terminals that can be imported."""


class LarkReader:
    def __init__(self, grammar: str, tokens: list[Token], place: Place) -> None:
        self._grammar = grammar
        self._tokens = tokens
        self._place = place
        self._at = 0
        self._depth = 0
        self._rules: dict[str, Shape] = {}
        self._references: dict[str, Token] = {}
        self._n_ignored = 0

    def rules(self) -> dict[str, Shape]:
        """By name, `start` among them, each referring to rules that there are. Raises a 400."""
        while self._next.kind != "end":
            if not self._take("newline"):
                self._item()
        for name, token in self._references.items():
            if name not in self._rules:
                raise self._error(f"there is no rule '{name[:40]}'", token)
        if "start" not in self._rules:
            raise self._place.error("is not a grammar: it has no rule 'start'.")
        return self._rules

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _error(self, reason: str, token: Token | None = None) -> Exception:
        return unreadable(self._grammar, (token or self._next).at, reason, self._place)

    def _take(self, kind: str, text: str | None = None) -> Token | None:
        token = self._next
        if token.kind != kind or text not in (None, token.text):
            return None
        self._at += 1
        return token

    def _mark(self, text: str) -> bool:
        return self._take("mark", text) is not None

    def _expect(self, kind: str, text: str | None = None) -> Token:
        if (token := self._take(kind, text)) is None:
            raise self._error(f"{text or f'a {kind}'!r} is missing")
        return token

    def _item(self) -> None:
        if self._take("directive", "%import"):
            self._import()
        elif self._take("directive", "%ignore"):
            self._n_ignored += 1
            self._define(f"%ignore {self._n_ignored}", self._expansions())
        else:
            name = self._expect("name").text.removeprefix("!").removeprefix("?")
            after = self._attributes()
            self._expect("mark", ":")
            self._define(name, Run((self._expansions(), *after)))
        if self._next.kind not in ("newline", "end"):
            closes = self._next.text in (")", "]", "}")
            raise self._error("this closes nothing" if closes else "a rule ends here, or something is missing")

    def _define(self, name: str, shape: Shape) -> None:
        if name in self._rules:
            raise self._error(f"there is another rule '{name[:40]}' before")
        self._rules[name] = shape
        if len(self._rules) > MAX_RULES:
            raise self._place.error(f"must have at most {MAX_RULES} rules.")

    def _import(self) -> None:
        """Of llguidance's own terminals."""
        name = self._expect("name").text
        while self._mark("."):
            name = self._expect("name").text
        if self._mark("("):
            self._define_import(self._expect("name").text)
            while self._mark(","):
                self._define_import(self._expect("name").text)
            self._expect("mark", ")")
        else:
            self._define_import(name, self._expect("name").text if self._mark("->") else name)

    def _define_import(self, terminal: str, name: str | None = None) -> None:
        self._define(name or terminal, Text(_LONGEST_IMPORT, free=terminal not in _FIXED_IMPORTS))

    def _attributes(self) -> list[Shape]:
        """`[key, key=value]` behind a rule's name; what they say that comes after the rule's own text."""
        after: list[Shape] = []
        if self._mark("["):
            while not self._mark("]"):
                self._expect("name")
                if self._mark("="):
                    after += [] if self._take("number") else [self._value()]
                if not self._mark(",") and self._next.text != "]":
                    raise self._error("']' is missing")
        return after

    def _expansions(self) -> Shape:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"groups are nested more than {MAX_DEPTH} deep")
        options = [self._expansion()]
        while self._bar():
            options.append(self._expansion())
        self._depth -= 1
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _bar(self) -> bool:
        """It may stand on the next line."""
        at = self._at
        self._take("newline")
        if self._mark("|"):
            return True
        self._at = at
        return False

    def _expansion(self) -> Shape:
        parts = []
        while self._next.kind not in ("newline", "end") and self._next.text not in ("|", "->", "}", ")", "]", "&"):
            parts.append(self._expression())
        if self._next.text == "&":
            raise self._place.error("has '&': intersections are not supported in this server's grammars.")
        if self._mark("->"):
            self._expect("name")
        return parts[0] if len(parts) == 1 else Run(tuple(parts))

    def _expression(self) -> Shape:
        part = self._atom()
        if self._mark("*") or self._mark("?"):
            return Times(part, 0)
        if self._mark("+"):
            return Times(part, 1)
        if self._mark("~"):
            low = self._count()
            if self._mark(".."):
                self._count()
            return Times(part, low)
        if self._mark("{"):
            low = 0 if self._next.text == "," else self._count()
            if self._mark(",") and self._next.text != "}":
                self._count()
            self._expect("mark", "}")
            return Times(part, low)
        return part

    def _count(self) -> int:
        digits = self._expect("number").text
        if not digits.isdecimal():
            raise self._error("this can't be counted to", self._tokens[self._at - 1])
        if len(digits) > len(str(MAX_COUNT)) or int(digits) > MAX_COUNT:
            raise self._place.error(f"repeats more than {MAX_COUNT} times: {digits[:40]}.")
        return int(digits)

    def _atom(self) -> Shape:
        if self._next.text == "~":
            raise self._place.error("has '~': complements are not supported in this server's grammars.")
        for opening, closing in ("()", "[]"):
            if self._mark(opening):
                inner = self._expansions()
                self._expect("mark", closing)
                return inner if opening == "(" else Times(inner, 0)
        return self._value()

    def _value(self) -> Shape:
        token = self._next
        read: Callable[[Token], Shape] | None = _VALUES.get(token.kind)
        if token.kind == "regex":
            shape: Shape = self._regex(token)
        elif token.kind == "name":
            self._references.setdefault(token.text, token)
            shape = Rule(token.text)
        elif read is not None:
            shape = read(token)
        else:
            raise self._error("this can't be read here")
        self._at += 1
        if token.kind == "directive":
            self._expect("value")
        elif token.kind == "string" and self._mark(".."):
            self._expect("string")
            return Text(1, free=True)
        return shape

    def _regex(self, token: Token) -> Text:
        pattern, _, flags = token.text[1:].rpartition("/")
        if "x" in flags:
            raise self._error("the flag 'x' is not supported", token)
        return Text(check_regex(pattern, self._place).shortest, free=bool(_CHOICE.search(pattern)) or "i" in flags)


def _string(token: Token) -> Text:
    inner = token.text.removesuffix("i")[1:-1]
    return Text(len(_ESCAPE.sub("x", inner)), free=token.text.endswith("i"))


_VALUES: dict[str, Callable[[Token], Shape]] = {
    "string": _string,
    "special": lambda _: Text(1),
    "directive": lambda _: Text(0, free=True),  # `%regex`: substrings, the empty one among them
}
