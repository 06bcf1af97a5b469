"""What has been said in a chat, and what of it the model is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


class NotAConversation(Exception):
    """The file holds none; the message is one line."""


@dataclass
class Turn:
    """A message of the user's, and the answer to it."""

    question: str
    answer: str | None = None
    """None as long as there is none."""


class Conversation:
    """A system message and turns. When the context is full, the oldest turns are sent no longer, but for those kept."""

    def __init__(self, system: str = "", keep: int = 0) -> None:
        """`keep`: how many tokens of its beginning, after the system message, are sent in any case; -1: all."""
        self.system = system
        self.turns: list[Turn] = []
        self.forgotten = 0
        """Turns that are sent no longer, after those kept."""
        self._keep = keep
        self._kept: int | None = None
        """Turns that are kept, once they have been counted."""

    def messages(self) -> list[JSON]:
        """What the model is told."""
        kept = self._kept or 0
        return self._messages([*self.turns[:kept], *self.turns[kept + self.forgotten :]])

    def forget_oldest(self, count_tokens: Callable[[str], int]) -> bool:
        """Send one turn less. False if there is none: the last one is what the user wants to be answered."""
        if self._keep < 0:
            return False
        if self._kept is None:
            self._kept = self._count_kept(count_tokens)
        if self._kept + self.forgotten + 1 >= len(self.turns):
            return False
        self.forgotten += 1
        return True

    def remove_last(self) -> bool:
        """Take the last turn back, if there is one that is still sent."""
        if len(self.turns) <= (self._kept or 0) + self.forgotten:
            return False
        self.turns.pop()
        return True

    def begin_anew(self, turns: Sequence[Turn] = ()) -> None:
        """With these turns, and the same system message."""
        self.turns = list(turns)
        self.forgotten = 0
        self._kept = None

    def _count_kept(self, count_tokens: Callable[[str], int]) -> int:
        """Whole turns: those that begin within the first `keep` tokens."""
        tokens = kept = 0
        for turn in self.turns:
            if tokens >= self._keep:
                break
            tokens += count_tokens(turn.question) + count_tokens(turn.answer or "")
            kept += 1
        return kept

    def _messages(self, turns: list[Turn]) -> list[JSON]:
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in turns:
            messages.append({"role": "user", "content": turn.question})
            if turn.answer is not None:
                messages.append({"role": "assistant", "content": turn.answer})
        return messages

    def as_json(self, model: str, options: Mapping[str, Any]) -> str:
        """A file's text: the body of a request that would go on with the chat."""
        body = {"model": model, "messages": self._messages(self.turns), **options}
        return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def read_chat(text: str) -> tuple[str, list[Turn], JSON]:
    """What `Conversation.as_json` has written: system message, turns, the other fields. Raises NotAConversation."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotAConversation(f"it is no JSON: {error}") from None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not all(map(_is_text_message, messages)):
        raise NotAConversation("it holds no messages of text, as /save writes them")
    system, turns = "", list[Turn]()
    for place, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "user":
            turns.append(Turn(content))
        elif role == "assistant" and turns and turns[-1].answer is None:
            turns[-1].answer = content
        elif role == "system" and place == 0:
            system = content
        else:
            raise NotAConversation("its messages don't alternate between user and assistant")
    return system, turns, body


def _is_text_message(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("system", "user", "assistant")
        and isinstance(message.get("content"), str)
    )
