"""An interactive chat: messages in, answers out as they come, until there are no more messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from server.terminal.client import JSON, Answer, Client, ServerError
from server.terminal.conversation import Conversation, Turn
from server.terminal.line_editor import Editor
from server.terminal.screen import Screen

CHARACTERS_PER_TOKEN = 4
"""Where the server doesn't count them: English text, about."""


class Chat:
    def __init__(
        self,
        client: Client,
        conversation: Conversation,
        options: JSON,
        screen: Screen,
        check_server: Callable[[], None],
        *,
        verbose: bool = False,
    ) -> None:
        """`options`: the other fields of each request. `check_server` is called after an error; it raises if there is
        no use in going on."""
        self.client = client
        self.conversation = conversation
        self.options = options
        self.screen = screen
        self.verbose = verbose
        self.over = False
        self._check_server = check_server

    def run(self, editor: Editor, command: Callable[[Chat, str], bool], first: str = "") -> None:
        """Until the editor has no more messages, or a command says so. `command` takes what is a command."""
        if first:
            self.say(first)
        while not self.over and (text := editor.read()) is not None:
            try:
                if not command(self, text) and text.strip():
                    self.say(text)
            except KeyboardInterrupt:  # of a command that takes its time
                self.screen.note("(stopped)")

    def say(self, text: str) -> None:
        self.conversation.turns.append(Turn(text))
        self.answer_last()

    def answer_last(self) -> None:
        """Answer the last message, anew if need be. What comes counts, however it ends; if nothing comes, an earlier
        answer stays, and a new message goes."""
        turn, forgotten = self.conversation.turns[-1], self.conversation.forgotten
        before, turn.answer = turn.answer, None
        answer = self._stream()
        if answer.content or answer.finish_reason is not None:
            turn.answer = answer.content
            return
        self.conversation.forgotten = forgotten
        if before is not None:
            turn.answer = before
        else:
            self.conversation.remove_last()

    def _stream(self) -> Answer:
        """Show the answer to the conversation, and what there is to be said about it."""
        while True:
            answer = Answer()
            try:
                with closing(self.client.chat(self._body(), answer)) as pieces:
                    for piece in pieces:
                        self.screen.show(piece)
                self.screen.end_answer()
                self._remark(answer)
                return answer
            except KeyboardInterrupt:
                self.screen.end_answer()
                self.screen.note("(stopped)")
                return answer
            except ServerError as error:
                self.screen.end_answer()
                if error.context_is_full and not answer.content and self._forget():
                    continue
                self._check_server()
                self.screen.error(str(error))
                return answer

    def _body(self) -> JSON:
        return {"messages": self.conversation.messages(), **self.options}

    def _forget(self) -> bool:
        forgotten = self.conversation.forget_oldest(self._count_tokens)
        if forgotten:
            self.screen.note("(the context is full: the oldest message and its answer are sent no longer)")
        return forgotten

    def _count_tokens(self, text: str) -> int:
        counted = self.client.count_tokens(text)
        return len(text) // CHARACTERS_PER_TOKEN + 1 if counted is None else counted

    def _fills_context(self, answer: Answer) -> bool:
        n_ctx = self.client.generation_settings().get("n_ctx")
        total = answer.usage.get("total_tokens")
        if not isinstance(n_ctx, int) or not isinstance(total, int):
            return "max_tokens" not in self.options
        return total + 1 >= n_ctx

    def _remark(self, answer: Answer) -> None:
        if answer.finish_reason == "length":
            if self._fills_context(answer):
                hint = "; /retry answers anew, with more room" if self._forget() else ""
                self.screen.note(f"(cut: the answer has reached the context's end{hint})")
            else:
                self.screen.note("(cut: the answer has reached max_tokens)")
        if self.verbose and (speed := answer.speed()):
            self.screen.note(f"({speed})")
