"""Where the user's messages come from: a line editor on a terminal, lines of standard input elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Protocol, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from server.terminal.history import history_file
from server.terminal.multiline import message, unfinished

PROMPT, CONTINUATION = ">>> ", "... "

Complete = Callable[[str], Iterable[str]]
"""What a text could become: the words that could stand where its last one begins."""


class Editor(Protocol):
    def read(self) -> str | None:
        """The next message; None: there will be no more."""


class PlainLines:
    """Of a file or a pipe."""

    def __init__(self, lines: TextIO = sys.stdin) -> None:
        self._lines = lines

    def read(self) -> str | None:
        text = self._lines.readline()
        if not text:
            return None
        while unfinished(text.removesuffix("\n")) and (line := self._lines.readline()):
            text += line
        return message(text.removesuffix("\n"))


class LineEditor:
    """Enter sends, but inside of an unfinished message begins a new line, as Alt+Enter always does. Ctrl-C empties the
    line, and ends the chat if that is empty and it comes twice; Ctrl-D ends it at once."""

    def __init__(self, complete: Complete, note: Callable[[str], None]) -> None:
        self._note = note
        path = history_file()
        history: History = InMemoryHistory() if path is None else FileHistory(str(path))
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            prompt_continuation=CONTINUATION,
            multiline=Condition(lambda: unfinished(get_app().current_buffer.text)),
            key_bindings=_new_line_keys(),
            history=history,
            completer=_Words(complete),
            complete_while_typing=False,
            enable_open_in_editor=True,
            enable_suspend=True,
        )

    def read(self) -> str | None:
        warned = False
        while True:
            try:
                return message(self._session.prompt())
            except EOFError:
                return None
            except KeyboardInterrupt:
                if self._session.default_buffer.text:
                    warned = False
                elif warned:
                    return None
                else:
                    warned = True
                    self._note("(Ctrl-C again, Ctrl-D or /bye ends the chat)")


class _Words(Completer):
    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        typed = text.rsplit(" ", 1)[-1]
        for word in self._complete(text):
            if word.startswith(typed):
                yield Completion(word, start_position=-len(typed))


def _new_line_keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    @keys.add("escape", "c-j")  # as it comes if it was typed while an answer came
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
