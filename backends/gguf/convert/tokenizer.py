"""Which files are a checkpoint's tokenizer."""

from __future__ import annotations

from pathlib import Path

from . import byte_level_bpe, sentencepiece_bpe, tiktoken_bpe
from .errors import ConvertError
from .vocabulary import Vocabulary


def read_vocabulary(folder: Path, n_rows: int, *, is_meta: bool) -> Vocabulary:
    """The tokenizer of a checkpoint whose embeddings have `n_rows`. Raises ConvertError."""
    # Meta's downloads have the tokenizer beside the models' folders, Hugging Face's copies of them around.
    for place in [folder, folder.parent] if is_meta else [folder]:
        try:
            found = _vocabulary(place, folder, n_rows)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ConvertError(f"{place}: the tokenizer's files make no sense ({reason})") from None
        if found is not None:
            found.check()
            return found
    raise ConvertError(f"{folder} has no tokenizer that this command reads: tokenizer.json or tokenizer.model")


def _vocabulary(place: Path, folder: Path, n_rows: int) -> Vocabulary | None:
    """`folder`: the model's; `place`: where its tokenizer may be."""
    tokenizer = byte_level_bpe.read_tokenizer_json(place)
    model = place / "tokenizer.model"
    if tokenizer is not None and byte_level_bpe.is_byte_level(tokenizer):
        return byte_level_bpe.vocabulary(place, tokenizer, n_rows)
    if model.is_file() and tiktoken_bpe.is_tiktoken(model):
        return tiktoken_bpe.vocabulary(model, folder, n_rows)
    if model.is_file() or tokenizer is not None:
        return sentencepiece_bpe.vocabulary(place, tokenizer, n_rows)
    return None
