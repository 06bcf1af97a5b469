"""Tokens that a tokenizer has beside its model's: markup, and what was added when the model was tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType

from .errors import read_json_if_there


@dataclass(frozen=True)
class AddedToken:
    """One of them."""

    id: int
    text: str
    special: bool
    strips: bool = False
    """Whether it takes in the spaces beside it."""

    @property
    def type(self) -> TokenType:
        """Control tokens are found only where markup is asked for; others in any text."""
        # Some tokenizers don't mark theirs as special; llama.cpp's own script knows them by their look, too.
        looks = self.text.startswith(("<|", "<｜")) and self.text.endswith(("|>", "｜>"))
        return TokenType.CONTROL if self.special or looks else TokenType.USER_DEFINED


def added_tokens(folder: Path, tokenizer: Mapping[str, Any] | None) -> list[AddedToken]:
    """A checkpoint's, from the first file that lists them. `tokenizer`: `tokenizer.json`."""
    if tokenizer is not None:
        return [_token(int(entry["id"]), entry) for entry in tokenizer.get("added_tokens") or ()]
    listed = read_json_if_there(folder / "tokenizer_config.json").get("added_tokens_decoder")
    if listed:
        return [_token(int(token_id), entry) for token_id, entry in listed.items()]
    texts = read_json_if_there(folder / "added_tokens.json")
    return [AddedToken(int(token_id), text, False) for text, token_id in texts.items()]


def _token(id: int, entry: Mapping[str, Any]) -> AddedToken:
    strips = bool(entry.get("lstrip") or entry.get("rstrip"))
    return AddedToken(id, str(entry["content"]), bool(entry.get("special")), strips)
