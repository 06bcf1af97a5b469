"""Thinking before the answer: `<think>…</think>` and its relatives.

    <think>
    The user greets me.
    </think>

    Hello!

A block counts at the start of a message and right after another block; `<think>` in the middle of an answer is text
(an answer may well be about it). Many templates open the block in the prompt, so that the model begins inside it.
"""

from __future__ import annotations

import msgspec

from server.chat.formats.reader import WHITESPACE


class Thinking(msgspec.Struct, frozen=True):
    """The markers around a model's thinking."""

    open: str
    close: str
    anywhere: bool = False
    """They are control tokens that no answer contains as text: a block counts wherever it begins."""
    open_token: str = ""
    """What of `open` is a token, if not all of it."""

    @property
    def tokens(self) -> tuple[str, str]:
        """Texts that vocabularies may have as single tokens."""
        return self.open_token or self.open, self.close

    def opened_by(self, prompt: str) -> bool:
        """Whether the prompt ends inside a block. Its last few dozen characters are enough."""
        return prompt.rstrip(WHITESPACE).endswith(self.open.rstrip(WHITESPACE))


THINK = Thinking("<think>", "</think>")

KNOWN = (
    Thinking("<seed:think>", "</seed:think>"),  # Seed-OSS
    Thinking("<mm:think>", "</mm:think>"),  # MiniMax M3
    Thinking("<|START_THINKING|>", "<|END_THINKING|>", anywhere=True),  # Command R7B, Command A
    Thinking("<|channel>thought", "<channel|>", anywhere=True, open_token="<|channel>"),  # Gemma 4
    Thinking("<|inner_prefix|>", "<|inner_suffix|>", anywhere=True),  # Apertus
    Thinking("[THINK]", "[/THINK]"),  # Magistral, Ministral
    Thinking("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),  # Apriel
    THINK,  # nearly all others
)


def recognise(template: str) -> Thinking | None:
    """The thinking that a chat template shows; None if it shows none."""
    return next((thinking for thinking in KNOWN if thinking.open in template or thinking.close in template), None)
