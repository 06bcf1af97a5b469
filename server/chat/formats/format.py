"""What a format is: how to recognise it, read it and constrain it."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from server.chat.formats.grammar import Grammar
from server.chat.formats.output import Output
from server.chat.formats.reader import Malformed, Reader, Steps
from server.chat.formats.thinking import Thinking
from server.chat.formats.tools import Tool

Texts = tuple[str, ...]
Signs = tuple[Texts, ...]


class Reading(msgspec.Struct, frozen=True):
    """What a format reads a message with."""

    reader: Reader
    out: Output
    tools: Mapping[str, Tool]
    """Those that may be called, by name. Empty: what looks like a call is content."""
    many: bool
    """There may be several calls."""
    thinking: Thinking
    limited: bool
    """Thinking has a budget: nothing but its own marker ends it."""
    prompt: str
    """The end of the prompt: what the message goes on from."""
    settles: bool
    """The answer isn't free: where it has begun, all is content."""

    def start_call(self, name: str, id: str | None = None) -> None:
        """Malformed if there can't be this call: so it is content, as all that is no call."""
        if name not in self.tools or (self.out.calls and not self.many):
            raise Malformed
        self.out.start_call(name, id)

    def mend(self, calls: int, *, verbatim: bool) -> None:
        """After Malformed, with so many `calls` before: go back to where the text may be read as content.

        If the text has ended inside of a call, that is no content: the rest belongs to the arguments if they are told
        as the model writes them (`verbatim`), and is a piece of markup if they aren't.
        """
        cut = self.reader.starved and self.out.calling and self.out.calls > calls
        self.reader.rewind()
        if cut:
            rest = self.reader.rest()
            self.out.arguments(rest if verbatim else "")


class Writing(msgspec.Struct, frozen=True):
    """What a message has to be, for its grammar."""

    tools: Sequence[Tool]
    """Those that may be called."""
    required: bool
    """It is calls, and nothing else but thinking before them."""
    many: bool
    """It may have several calls."""
    thinking: Thinking | None
    """It may think first; None: this model doesn't."""
    prompt: str
    content: str | None = None
    """The body of a grammar rule for the answer, where that isn't free."""
    budget: int | None = None
    """How many tokens a block of thinking may have."""


class Format(ABC):
    """How models write their messages. One instance serves all requests."""

    name: ClassVar[str]
    signs: ClassVar[Signs] = ()
    """A chat template has this format if it contains all the strings of one of these."""
    tokens: ClassVar[Texts] = ()
    """Texts, markers or parts of them, that vocabularies of its models have as single tokens. Where they are, only the
    tokens are markers, to the parser and in constraints."""
    tokens_without_tools: ClassVar[Texts] = ()
    """Those of them that matter even in messages without tools."""
    verbatim: ClassVar[bool] = False
    """Whether calls are told with the arguments as the model writes them: as JSON."""

    has_thinking: ClassVar[bool] = False
    """Thinking is a part of the format itself."""

    def recognises(self, template: str) -> bool:
        return any(all(sign in template for sign in signs) for signs in self.signs)

    def call_id(self, name: str, index: int) -> str:
        """A new id for a call, as the chat templates of the format accept it."""
        return f"call_{secrets.token_hex(12)}"

    def printed(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str | None:
        """Calls, by name and arguments, as text, for templates that show none; None: as the generic prompt has them."""
        return None

    @abstractmethod
    def read_message(self, reading: Reading) -> Steps[None]:
        """Read a whole message, to the end of the text."""

    @abstractmethod
    def write_message(self, grammar: Grammar, writing: Writing) -> str:
        """The body of a grammar rule for such a message."""
