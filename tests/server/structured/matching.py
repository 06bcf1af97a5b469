"""Grammars against texts, by llguidance on a token for every byte."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from server.structured.content import whole_grammar

EOS = 256


class _Bytes:
    bos_token_id = None
    eos_token_id = EOS
    special_token_ids = (EOS,)
    tokens = (*(bytes([value]) for value in range(256)), b"<eos>")

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@lru_cache
def _tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Bytes()))


@lru_cache(maxsize=300)
def compiled(rule: str) -> LLMatcher:
    """Raises ValueError for a rule that llguidance refuses."""
    matcher = LLMatcher(_tokenizer(), LLMatcher.grammar_from_lark(whole_grammar(rule)), log_level=0)
    if matcher.is_error():
        raise ValueError(matcher.get_error().splitlines()[0])
    return matcher


def verdict(rule: str, text: str) -> str:
    """ "yes", "unfinished", or where it may not go on."""
    matcher = compiled(rule).deep_copy()
    ids = list(text.encode())
    taken = matcher.try_consume_tokens(ids)
    if taken < len(ids):
        return f"no, after {bytes(ids[:taken])!r}"
    return "yes" if matcher.is_accepting() else "unfinished"


def fits(rule: str, text: str) -> bool:
    return verdict(rule, text) == "yes"


def allowed(matcher: Any) -> list[int]:
    """The tokens that may come next."""
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
    return [int(token) for token in np.flatnonzero(bits) if token <= EOS]


def walk(rule: str, seed: int, n_random: int = 200, n_all: int = 4000) -> str | None:
    """A random text that the rule allows; None if it has no end within `n_all` bytes.

    After `n_random` bytes, the bytes that lead to an end soonest are preferred.
    """
    matcher = compiled(rule).deep_copy()
    dice = random.Random(seed)
    text = bytearray()
    while len(text) < n_all:
        tokens = allowed(matcher)
        if matcher.is_error() and "items" in matcher.get_error():
            return None  # too many ways to read it: an engine ends such a text with an error
        assert tokens or matcher.is_stopped(), f"stuck after {bytes(text)!r}"
        if not tokens or tokens == [EOS] or (EOS in tokens and (len(text) >= n_random or dice.random() < 0.3)):
            return text.decode()
        tokens = [token for token in tokens if token != EOS]
        ends = [token for token in tokens if token in b'"}]0,:']
        likely = ends if ends and (len(text) >= n_random or dice.random() < 0.2) else tokens
        if len(text) >= n_random and (closing := [token for token in likely if token in b'"}]']):
            likely = closing
        token = dice.choice(likely)
        assert matcher.consume_token(token), matcher.get_error()
        text.append(token)
    return None
