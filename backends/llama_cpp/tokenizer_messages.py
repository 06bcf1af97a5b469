"""What the API process and the tokenizer's say to each other. Apart from both, as the former does without llama.cpp."""

from __future__ import annotations

import msgspec

from backends.base import LoadFailed, TokenizerInfo


class Encode(msgspec.Struct, frozen=True, tag="encode"):
    """Tokenize UTF-8 `text`."""

    id: int
    text: bytes
    add_special: bool
    parse_special: bool


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """Nobody waits for this one any more: skip it if it has not begun. It is answered all the same."""

    id: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    info: TokenizerInfo


class Encoded(msgspec.Struct, frozen=True, tag="encoded"):
    id: int
    tokens: list[int]


class EncodeFailed(msgspec.Struct, frozen=True, tag="encode_failed"):
    id: int
    message: str


TokenizerCommand = Encode | Forget
TokenizerEvent = Ready | Encoded | EncodeFailed | LoadFailed
