"""llama-server's prompts to tokens: texts, tokens, or both in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backends.base import Tokenizer, TokenizerInfo
from server.errors import invalid
from server.schemas.native import MixedPrompt


async def mixed_tokens(
    tokenizer: Tokenizer, prompt: MixedPrompt, *, add_special: bool, parse_special: bool, param: str
) -> list[int]:
    """BOS comes only before a text that is first in the list. Raises a 400 for tokens that the vocabulary hasn't."""
    parts = (prompt,) if isinstance(prompt, str) else prompt
    tokens: list[int] = []
    for position, part in enumerate(parts):
        if isinstance(part, str):
            special = add_special and position == 0
            tokens += await tokenizer.encode(part, add_special=special, parse_special=parse_special)
        else:
            tokens.append(part)
    check_tokens(tokenizer.info, tokens, param)
    return tokens


def check_tokens(info: TokenizerInfo, tokens: Sequence[int], param: str) -> None:
    """Raises a 400 for tokens that the vocabulary hasn't."""
    n_vocab = len(info.pieces)
    if tokens and (min(tokens) < 0 or max(tokens) >= n_vocab):
        wrong = next(token for token in tokens if not 0 <= token < n_vocab)
        raise invalid(f"Token {wrong} is not in the vocabulary: ids are 0 to {n_vocab - 1}.", param)


async def biases(tokenizer: Tokenizer, pairs: Sequence[tuple[int | str, float | bool]]) -> Mapping[int, float]:
    """Biases by token id; each token of a text gets the text's. False bans. Raises a 400 for an id out of range."""
    by_id: dict[int, float] = {}
    for key, bias in pairs:
        tokens = [key] if isinstance(key, int) else await tokenizer.encode(key, add_special=False, parse_special=True)
        check_tokens(tokenizer.info, tokens, "logit_bias")
        by_id.update(dict.fromkeys(tokens, float("-inf") if bias is False else float(bias)))
    return by_id
