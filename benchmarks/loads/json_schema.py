"""Answers that a JSON schema binds: an order form, whose every value is bounded, so that any model fills it in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.answer import Answer
from benchmarks.prompts import Message, Prompts, system
from benchmarks.server_process import ServerProcess

from .base import Figures, Load, Measure, UnequalWork, ask, closed_loop, wall

FORMS = Measure("forms", "1/s", True)
LENGTH = Measure("length of a form", "tokens", False)
GAP = Measure("mean gap", "s", False)
FREE_GAP = Measure("mean gap of free text", "s", False)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "product": {"type": "string", "enum": ["paper", "wood", "gold", "wheel"]},
        "color": {"type": "string", "enum": ["red", "green", "blue", "white", "black"]},
        "size": {"type": "string", "enum": ["small", "common", "big"]},
        "number": {"type": "integer", "minimum": 1, "maximum": 99},
        "money": {"type": "string", "enum": ["ready", "late"]},
        "gift": {"type": "boolean"},
        "state": {"type": "string", "enum": ["new", "seen", "ready", "late"]},
    },
    "required": ["product", "color", "size", "number", "money", "gift", "state"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "order", "strict": True, "schema": SCHEMA}}
ORDER = "Answer with the order form as JSON."
MOST_TOKENS = 200
"""Of a form: servers differ in the white space that they allow, and in how they cut words into tokens."""


@dataclass(frozen=True)
class JsonSchema(Load):
    name: str = "json-schema"
    n_requests: int = 16
    n_words: int = 40

    @property
    def what(self) -> str:
        return f"{self.n_requests} forms bound by a JSON schema of 7 fields, {self.parallel} at a time; then free texts"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return FORMS, LENGTH, GAP, FREE_GAP

    async def run(self, server: ServerProcess, prompts: Prompts) -> Figures:
        chats = [[system(ORDER), *prompts.question(self.n_words)] for _ in range(self.n_requests)]
        answers = await closed_loop((fill_in(server, chat) for chat in chats), self.parallel)
        n_tokens = round(median(answer.n_tokens for answer in answers))
        free = await closed_loop((ask(server, chat, n_tokens) for chat in chats), self.parallel)
        return {
            FORMS.name: len(answers) / wall(answers),
            LENGTH.name: n_tokens,
            GAP.name: median(answer.mean_gap for answer in answers),
            FREE_GAP.name: median(answer.mean_gap for answer in free),
        }


async def fill_in(server: ServerProcess, chat: list[Message]) -> Answer:
    """A whole form. Raises Refused, UnequalWork."""
    answer = await server.chat(chat, MOST_TOKENS, may_end=True, response_format=FORMAT)
    if not is_form(answer.text):
        raise UnequalWork(f"{server.peer.name} didn't fill in the form: {answer.text!r}")
    return answer


def is_form(text: str) -> bool:
    """Whether it is a JSON object that has every field."""
    try:
        form = json.loads(text)
    except ValueError:
        return False
    return isinstance(form, dict) and form.keys() == SCHEMA["properties"].keys()
