"""SentencePiece's BPE: Llama 2, Mistral, TinyLlama, Code Llama. From `tokenizer.model`, or from the `tokenizer.json`
that Transformers makes of it.

llama.cpp merges the pair of pieces whose union has the highest score; Transformers, the pair that comes first in a
list. The one says the same as the other if every way to make a piece is in the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import SentencePieceVocab, TokenType

from .added_tokens import added_tokens
from .errors import ConvertError, read_json_if_there
from .special_tokens import eos_ids, read_special_tokens
from .vocabulary import Vocabulary

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
CODE_LLAMA_END = "▁<EOT>".encode()
"""Ends what Code Llama fills in; its other tokens for that are known to llama.cpp by their look."""


def vocabulary(folder: Path, tokenizer: Mapping[str, Any] | None, n_rows: int) -> Vocabulary:
    """`tokenizer`: `tokenizer.json`, where there is one. Raises ConvertError."""
    found = Vocabulary(n_rows, "llama", "default")
    added = added_tokens(folder, tokenizer)
    if (folder / "tokenizer.model").is_file():
        own = _put_model(found, folder, prefix_known=tokenizer is not None)
    else:
        assert tokenizer is not None
        own = _put_merges(found, tokenizer, {token.id for token in added})
    found.put_added(added)
    if tokenizer is not None:
        _read_prefix(found, tokenizer)
    prefix = read_json_if_there(folder / "tokenizer_config.json").get("add_prefix_space")
    if isinstance(prefix, bool):
        found.add_space_prefix = prefix
    special = read_special_tokens(folder, n_rows)
    found.put_special(special, eos_ids(folder))
    for name, token_id in own.items():
        special.special_token_ids.setdefault(name, token_id)
    if "unk" in special.special_token_ids:
        found.types[special.special_token_ids["unk"]] = int(TokenType.UNKNOWN)
    if CODE_LLAMA_END in found.tokens:
        special.special_token_ids.setdefault("eot", found.tokens.index(CODE_LLAMA_END))
    # Without tokenizer.json, Transformers adds what Llama's tokenizer adds.
    special.add_special_token.setdefault("bos", tokenizer is None)
    return found


def _put_model(found: Vocabulary, folder: Path, *, prefix_known: bool) -> dict[str, int]:
    """Pieces of `tokenizer.model`; its special tokens."""
    try:
        library = SentencePieceVocab(folder)
    except RuntimeError as error:
        if "not installed" in str(error):
            raise ModuleNotFoundError("sentencepiece", name="sentencepiece") from None
        raise ConvertError(f"{folder / 'tokenizer.model'} is not SentencePiece's") from None
    except (ValueError, OSError) as error:
        raise ConvertError(f"{folder}: the tokenizer makes no sense: {error}") from None
    for token_id, (text, score, kind) in enumerate(library.sentencepiece_tokens()):
        if kind is TokenType.NORMAL and score != int(score):
            raise ConvertError(f"{folder / 'tokenizer.model'} is a Unigram model: this command converts BPE")
        found.put(token_id, text, kind, score)
    model = library.sentencepiece_tokenizer
    normalized = model.Normalize(" a  ﬁ ")
    if normalized.lstrip("▁") != "a▁▁ﬁ▁" and not prefix_known:
        found.notes.append("tokenizer.model normalizes text, which llama.cpp doesn't here")
    if not prefix_known:
        found.add_space_prefix = normalized.startswith("▁▁")
    ids = {"bos": model.bos_id(), "eos": model.eos_id(), "unk": model.unk_id()}
    return {name: token_id for name, token_id in ids.items() if token_id >= 0}


def _put_merges(found: Vocabulary, tokenizer: Mapping[str, Any], added: set[int]) -> dict[str, int]:
    """Pieces of `tokenizer.json`, with scores from the order of merges; its special tokens."""
    model = tokenizer["model"]
    pairs = [tuple(pair.split(" ", 1)) if isinstance(pair, str) else tuple(pair) for pair in model.get("merges", ())]
    normal = {text for text, token_id in model["vocab"].items() if token_id not in added and not BYTE.fullmatch(text)}
    _check_merges(pairs, normal)
    ranks: dict[str, int] = {}
    for left, right in pairs:
        ranks.setdefault(left + right, len(ranks))
    for text, token_id in model["vocab"].items():
        if text == model.get("unk_token"):
            found.put(token_id, text.encode(), TokenType.UNKNOWN)
        elif BYTE.fullmatch(text):
            found.put(token_id, text.encode(), TokenType.BYTE)
        else:
            found.put(token_id, text.encode(), TokenType.NORMAL, -float(ranks.get(text, len(ranks))))
    return {"unk": model["vocab"][model["unk_token"]]} if model.get("unk_token") in model["vocab"] else {}


def _check_merges(pairs: list[tuple[str, ...]], normal: set[str]) -> None:
    listed = set(pairs)
    for text in normal:
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in normal and right in normal and (left, right) not in listed:
                raise ConvertError(
                    f"tokenizer.json never merges {left!r} and {right!r} into {text!r}: SentencePiece, and llama.cpp, "
                    "would"
                )


def _read_prefix(found: Vocabulary, tokenizer: Mapping[str, Any]) -> None:
    """Whether text gets a space before it, and where."""
    steps = [
        step
        for part, inner in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"))
        for step in (tokenizer.get(part) or {}).get(inner) or [tokenizer.get(part)]
        if isinstance(step, dict)
    ]
    scheme = "never"
    for step in steps:
        match step.get("type"):
            case "Prepend":
                scheme = "always"
            case "Metaspace":
                default = "always" if step.get("add_prefix_space", True) else "never"
                scheme = step.get("prepend_scheme", default)
            case "Replace":
                pass  # spaces by ▁, as llama.cpp does
            case other:
                found.notes.append(f"tokenizer.json changes text by {other}, which llama.cpp doesn't here")
    found.add_space_prefix = scheme != "never"
    if scheme == "first":
        found.notes.append(
            "llama.cpp puts a space before text that follows a special token, where this tokenizer puts one only "
            "before the whole text"
        )
