"""llama.cpp's grammars (GBNF) as one item of a rule for llguidance (`%lark {…}`)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from server.structured.gbnf_syntax import Chars, Choice, GbnfError, Literal, Node, Reference, Repeat, Sequence, read
from server.structured.gbnf_terminals import Terminals
from server.structured.place import Place
from server.structured.shortest import Either, Rule, Run, Shape, Text, Times, TooLong, check_shortest

MAX_LENGTH = 128 * 1024
"""Characters of a grammar."""
MAX_RULES = 2_000
MAX_DEPTH = 400
"""Rules that lead to each other: llguidance compiles them recursively, at 7 KiB of stack each."""


def gbnf_rule(grammar: str, place: Place) -> str:
    """The body of a Lark rule for text that matches a grammar. Raises a 400."""
    if len(grammar) > MAX_LENGTH:
        raise place.error(f"must be at most {MAX_LENGTH} characters long.")
    try:
        rules = _in_order(read(grammar))
        if len(rules) > MAX_RULES:
            raise GbnfError(f"it has more than {MAX_RULES} rules")
        check_shortest({name: _shape(node) for name, node in rules.items()})
        return f"%lark {{\n{_Writer(rules).text()}\n}}"
    except GbnfError as error:
        raise place.error(f"is not a grammar: {error}.") from None
    except TooLong as error:
        raise place.error(f"has a rule '{str(error.rule)[:40]}' that {error}.") from None


def _shape(node: Node) -> Shape:
    match node:
        case Literal(text=text):
            return Text(len(text))
        case Chars(ranges=((low, high),), negated=False) if low == high:
            return Text(1)
        case Chars():
            return Text(1, free=True)
        case Reference(name=name):
            return Rule(name)
        case Sequence(items=items):
            return Run(tuple(map(_shape, items)))
        case Choice(options=options):
            return Either(tuple(map(_shape, options)))
        case Repeat(item=item, low=low, high=high):
            return Run(()) if high == 0 else Times(_shape(item), low)


def _in_order(rules: dict[str, Node]) -> dict[str, Node]:
    """Those that `root` needs, callees first where there is no recursion. Raises GbnfError if they lead too far."""
    ordered: dict[str, Node] = {}
    seen = {"root"}
    path = [("root", _references(rules["root"]))]
    while path:
        name, references = path[-1]
        following = next((other for other in references if other not in seen), None)
        if following is None:
            ordered[name] = rules[name]
            path.pop()
            continue
        seen.add(following)
        path.append((following, _references(rules[following])))
        if len(path) > MAX_DEPTH:
            raise GbnfError(f"its rules lead to each other more than {MAX_DEPTH} deep")
    return ordered


def _references(node: Node) -> Iterator[str]:
    """From left to right, as llguidance follows them."""
    match node:
        case Reference(name=name):
            yield name
        case Sequence(items=nodes) | Choice(options=nodes):
            for child in nodes:
                yield from _references(child)
        case Repeat(item=item):
            yield from _references(item)


class _Writer:
    def __init__(self, rules: dict[str, Node]) -> None:
        self._rules = rules
        self._numbers = {name: number for number, name in enumerate(rules)}
        self._terminals = Terminals(rules)
        self._lines: list[str] = []
        self._defined: set[str] = set()

    def text(self) -> str:
        lines = [f"start: {self._rule_name('root')}"]
        for name, node in self._rules.items():
            lines.append(f"{self._rule_name(name)}: {self._rule(node, self._terminals.follow(name))}")
        for name, node in self._rules.items():
            if self._terminals.fits(node, 0):
                lines.append(f"{self._terminal_name(name)}: {self._terminal(node)}")
        return "\n".join([*lines, *self._lines])

    def _rule_name(self, name: str) -> str:
        return f"r{self._numbers[name]}"

    def _terminal_name(self, name: str) -> str:
        return f"T{self._numbers[name]}"

    def _rule(self, node: Node, follow: int) -> str:
        """In a rule, where these characters can come after it."""
        if self._terminals.facts(node).nothing:
            return '""'
        if not isinstance(node, Literal | Chars) and self._terminals.fits(node, follow):
            return self._as_terminal(node)
        match node:
            case Literal(text=text):
                return " ".join(_literal(char) for char in text)
            case Chars():
                return _class(node)
            case Reference(name=name):
                return self._rule_name(name)
            case Sequence(items=items):
                written = []
                for item in reversed(items):
                    written.append(self._rule(item, follow))
                    facts = self._terminals.facts(item)
                    follow = facts.first | (follow if facts.empty else 0)
                return " ".join(reversed(written)) or '""'
            case Choice(options=options):
                return f"({' | '.join(self._rule(option, follow) for option in options)})"
            case Repeat(item=item, low=low, high=high):
                return f"({self._rule(item, self._terminals.follow_in(node, follow))}){_count(low, high)}"

    def _as_terminal(self, node: Node) -> str:
        if isinstance(node, Reference):
            return self._terminal(node)
        name = f"P{len(self._lines)}"
        self._lines.append(f"{name}: {self._terminal(node)}")
        return name

    def _terminal(self, node: Node) -> str:
        match node:
            case Literal(text=text):
                return _literal(text)
            case Chars():
                return _class(node)
            case Reference(name=name):
                return self._terminal_name(name)
            case Sequence(items=items):
                return " ".join(self._terminal(item) for item in items) or '""'
            case Choice(options=options):
                return f"({' | '.join(self._terminal(option) for option in options)})"
            case Repeat(item=item, low=low, high=high):
                return '""' if high == 0 else f"({self._terminal(item)}){_count(low, high)}"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _class(chars: Chars) -> str:
    if not chars.ranges:
        return "/(?s:.)/"
    ranges = "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in chars.ranges)
    return f"/[{'^' * chars.negated}{ranges}]/"


def _count(low: int, high: int | None) -> str:
    match low, high:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
        case _, None:
            return f"{{{low},}}"
    return f"{{{low},{high}}}"
