"""Grammars and parsers agree: whatever a grammar lets a model write, what is read as a call is what may be called.

Walks under grammars, over a vocabulary of bytes and markers: pieces of what models write, right and wrong, are tried in
any order, each as far as the grammar takes it.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import pytest

from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.marker_tokens import MarkerTokens
from server.chat.formats.tools import Tool, ToolChoice
from tests.server.chat_formats.message import Message
from tests.server.chat_formats.test_constraints import Bytes, compiled
from tests.server.chat_formats.writers import WRITTEN, Written

pytest.importorskip("llguidance")

UNITS = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}, "additionalProperties": False}
WEATHER = Tool(
    "get_weather",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "options": UNITS},
        "required": ["city"],
        "additionalProperties": False,
    },
    strict=True,
)
TIME = Tool("get_time", {"type": "object", "properties": {}, "additionalProperties": False}, strict=True)
CONTENT = '%json {"type": "object", "properties": {"s": {"type": "string"}}, "required": ["s"]}'


class Case(NamedTuple):
    written: Written
    kind: str
    """How the vocabulary has the markers: as "control" tokens, as "ordinary" ones, or not at all ("spelled")."""
    choice: ToolChoice
    content: str | None


CASES = [
    Case(written, kind, choice, content)
    for written in WRITTEN
    for kind in ("control", "ordinary", "spelled")
    for choice, content in (
        (ToolChoice(), None),
        (ToolChoice(parallel=False), None),
        (ToolChoice("auto", frozenset(["get_weather"])), None),
        (ToolChoice("required"), None),
        (ToolChoice(), CONTENT),
    )
    if not (written.name.startswith("harmony") and kind == "spelled")
]


PIECES = [
    *("Hi", "\n", " ", "{", "[", '"', "}", "]", '{"name": "', '{"name": "Bob"}', "[x](y)", '"s": "', "é", ", ", "12"),
    *("get_weather", "get_time", "rm_rf", 'get_weather"', "get_weather("),
    *('{"name": "get_weather", "parameters": {"city": 1}}', "[get_weather(town=1)]"),
    *('{"type": "function", "name": "get_weather", "parameters": {"x": 1}}', '{"type": "x", "name": "get_weather", '),
    *('{"arguments": {"x": 1}, "name": "get_weather"}', "</function>", "</arg_value>", "<arg_key>more</arg_key>"),
    *("</parameter>", "<parameter=more>", '<parameter name="more">'),
]


def fragments(written: Written) -> tuple[list[str], list[str]]:
    """What may be calls, and other things."""
    calls = [
        written.calls([("get_weather", {"city": "Oslo", "days": 3})]),
        written.calls([("get_weather", {"city": 5})]),
        written.calls([("get_weather", {"city": "x", "days": "y", "more": "z"})]),
        written.calls([("get_time", {}), ("get_weather", {"city": "a", "options": {"unit": "C"}})]),
        written.calls([("rm_rf", {"city": "x"})]),
    ]
    cut = [call[at:] for call in calls for at in (len(call) // 3, len(call) // 2)]
    openers = [text for text in getattr(written.format, "openers", ()) if text]
    leftovers = getattr(written.format, "leftovers", ())
    thinking = [written.thinking.open, written.thinking.close] if written.thinking else []
    return [*calls, *openers], [*cut, *PIECES, *leftovers, *thinking, *written.format.tokens]


def label(case: Case) -> str:
    choice = case.choice
    kind = choice.mode if choice.names is None else "one of two"
    return f"{case.written.name}-{case.kind}-{kind}{'' if choice.parallel else '-single'}{'-json' * bool(case.content)}"


class Walk:
    def __init__(self, case: Case, seed: int) -> None:
        self.chat = ChatFormat(case.written.format, case.written.thinking)
        names = sorted(self.chat.tokens(tools=True)) if case.kind != "spelled" else []
        self.vocabulary = _vocabulary(tuple(names), case.kind == "control")
        self.tools = case.choice.among([WEATHER, TIME])
        grammar = self.chat.constraint(
            [WEATHER, TIME], case.choice, case.written.prompt, self.vocabulary.ids, case.content
        )
        assert grammar is not None
        self.matcher = compiled(self.vocabulary, grammar).deep_copy()
        control = self.vocabulary.ids.values() if case.kind == "control" else ()
        self.markers = MarkerTokens(self.vocabulary.ids, control)
        self.random = random.Random(seed)
        self.tokens: list[int] = []
        self.case = case

    def run(self) -> bool:
        """Whether the message has come to an end."""
        calls, others = fragments(self.case.written)
        for _ in range(self.random.randrange(1, 14)):
            piece = self.random.choice(calls if self.random.random() < 0.4 else others)
            spelled = self.random.random() < 0.4
            self._take(list(piece.encode()) if spelled else self.vocabulary.encode(piece))
        for _ in range(400):
            if self.matcher.is_accepting():
                return True
            allowed = [token for token in self._allowed() if token != self.vocabulary.eos_token_id]
            likely = [token for token in allowed if token > 256 or chr(token) in '"}])>\n </']
            self._take([self.random.choice(likely or allowed)])
        return False

    def _take(self, tokens: list[int]) -> None:
        taken = self.matcher.try_consume_tokens(tokens)
        self.tokens += tokens[:taken]

    def _allowed(self) -> list[int]:
        mask = self.matcher.compute_bitmask()
        return [token for token in range(len(self.vocabulary.tokens)) if mask[token // 8] >> token % 8 & 1]

    def message(self) -> Message:
        parser = self.chat.parser(
            self.tools,
            self.case.written.prompt,
            self.markers,
            many=self.case.choice.parallel,
            settles=self.case.content is not None,
        )
        data, text = b"", ""
        for token in self.tokens:
            if token in self.markers.characters:
                text += data.decode(errors="replace") + self.markers.characters[token]
                data = b""
            else:
                data += self.vocabulary.tokens[token]
        text += data.decode(errors="replace")
        found = Message()
        cut = self.random.randrange(len(text) + 1)
        for piece in (text[:cut], text[cut:]):
            found.add(parser.feed(piece))
        found.add(parser.finish())
        return found


_VOCABULARIES: dict[tuple[tuple[str, ...], bool], Bytes] = {}


def _vocabulary(names: tuple[str, ...], control: bool) -> Bytes:
    if (names, control) not in _VOCABULARIES:
        _VOCABULARIES[names, control] = Bytes(names, control=control)
    return _VOCABULARIES[names, control]


def fits(name: str, arguments: Any) -> bool:
    if name == "get_time":
        return bool(arguments == {})
    assert isinstance(arguments, dict)
    return (
        arguments.keys() <= {"city", "days", "options"}
        and isinstance(arguments["city"], str)
        and isinstance(arguments.get("days", 1), int)
        and arguments.get("options", {}).keys() <= {"unit"}
        and arguments.get("options", {}).get("unit", "C") in ("C", "F")
    )


@pytest.mark.parametrize("case", CASES, ids=label)
def test_what_is_called_may_be_called(case: Case) -> None:
    names = {tool.name for tool in case.choice.among([WEATHER, TIME])}
    for seed in range(4):
        walk = Walk(case, seed)
        ended = walk.run()
        found = walk.message()
        said = (seed, bytes(token if token < 256 else 63 for token in walk.tokens), found)
        assert all(call.name in names for call in found.calls), said
        assert case.choice.parallel or len(found.calls) <= 1, said
        whole = found.calls if ended else found.calls[:-1]
        assert all(call.complete and fits(call.name, json.loads(call.arguments)) for call in whole), said
        assert not any("\ud800" <= character <= "\udfff" for character in str(found)), said
        if ended and case.choice.mode == "required":
            assert found.calls and not found.content, said
        if ended and case.content is not None and not found.calls:
            assert isinstance(json.loads(found.content)["s"], str), said
