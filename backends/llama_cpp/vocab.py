"""A GGUF's vocabulary without its weights: what its tokens are, and text to tokens. Thin and typed over llama.h."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

import llama_cpp.llama_cpp as C

from backends.base import InvalidRequest, ModelLoadError, TokenizerInfo

from . import library

STACK_LEAST = 8 << 20
STACK_PER_BYTE = 1024
MARKUP = C.LLAMA_TOKEN_ATTR_CONTROL | C.LLAMA_TOKEN_ATTR_UNKNOWN
"""Tokens that llama.cpp renders as nothing unless told to show special ones."""


class Vocabulary:
    """llama.cpp's `llama_vocab`. `tokenize` may be called from several threads at once. Raises ModelLoadError, also if
    a model has no vocabulary: llama.cpp aborts when it is asked for such a token's text."""

    def __init__(self, path: str, *, verbose: bool = False) -> None:
        library.start(verbose=verbose)
        params = C.llama_model_default_params()
        params.vocab_only = True
        no_devices = (ctypes.c_void_p * 1)(None)  # else even a load without weights probes the GPUs
        params.devices = ctypes.addressof(no_devices)
        self._model = C.llama_model_load_from_file(path.encode(), params)
        if not self._model:
            raise ModelLoadError(f"cannot load the vocabulary of {path}: {library.last_error() or 'no reason given'}")
        self._vocab = C.llama_model_get_vocab(self._model)
        if C.llama_vocab_type(self._vocab) == C.LLAMA_VOCAB_TYPE_NONE:
            raise ModelLoadError(f"cannot load {path}: it has no vocabulary, so it can neither read nor write text")
        self._bos = C.llama_vocab_bos(self._vocab) if C.llama_vocab_get_add_bos(self._vocab) else None

    def info(self) -> TokenizerInfo:
        """Everything about the tokens; a few tenths of a second for a large vocabulary."""
        vocab = self._vocab
        ids = range(C.llama_vocab_n_tokens(vocab))
        return TokenizerInfo(
            pieces=pieces(vocab, ids),
            control_tokens=frozenset(t for t in ids if C.llama_vocab_get_attr(vocab, t) & MARKUP),
            eog_tokens=frozenset(t for t in ids if C.llama_vocab_is_eog(vocab, t)),
            bos=_known(C.llama_vocab_bos(vocab)),
            eos=_known(C.llama_vocab_eos(vocab)),
            eot=_known(C.llama_vocab_eot(vocab)),
            add_bos=bool(C.llama_vocab_get_add_bos(vocab)),
            add_eos=bool(C.llama_vocab_get_add_eos(vocab)),
            fim_prefix=_known(C.llama_vocab_fim_pre(vocab)),
            fim_suffix=_known(C.llama_vocab_fim_suf(vocab)),
            fim_middle=_known(C.llama_vocab_fim_mid(vocab)),
            fim_pad=_known(C.llama_vocab_fim_pad(vocab)),
            fim_repo=_known(C.llama_vocab_fim_rep(vocab)),
            fim_separator=_known(C.llama_vocab_fim_sep(vocab)),
        )

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Tokens of UTF-8 `text`. Runs without the GIL, and recurses by the length of the longest run of alike
        characters: on a thread with less than `stack_for` it can crash the process. Raises InvalidRequest."""
        room = len(text) + 8
        tokens = (C.llama_token * room)()
        count = C.llama_tokenize(self._vocab, text, len(text), tokens, room, add_special, parse_special)
        if count < 0:  # normalizing can expand text to more tokens than it has bytes
            tokens = (C.llama_token * -count)()
            count = C.llama_tokenize(self._vocab, text, len(text), tokens, -count, add_special, parse_special)
        if count < 0:
            raise InvalidRequest("the text has too many tokens")
        found: list[int] = tokens[:count]
        if add_special and self._bos is not None and found[:2] == [self._bos, self._bos]:
            del found[0]  # the text brought its own; llama.cpp warns of the second and keeps it
        return found


def stack_for(n_bytes: int) -> int:
    """Bytes of stack that a thread needs to tokenize any text of so many bytes (measured: docs/tokenizer.md)."""
    return STACK_LEAST + n_bytes * STACK_PER_BYTE


def pieces(vocab: int, ids: Iterable[int]) -> list[bytes]:
    """Each token's text as bytes, special tokens included. `vocab`: a `llama_vocab`."""
    buffer = ctypes.create_string_buffer(64)
    found: list[bytes] = []
    for token in ids:
        length = C.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = C.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, True)
        found.append(buffer.raw[:length])
    return found


def _known(token: int) -> int | None:
    """None for llama.cpp's -1: the vocabulary has no such token."""
    return token if token >= 0 else None
