"""Byte-level BPE (GPT-2's kind), as `tokenizer.json` describes it: Llama 3, Qwen, Mistral Nemo and others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import TokenType

from .added_tokens import added_tokens
from .errors import ConvertError, read_json
from .pre_tokenizer import recognized
from .special_tokens import eos_ids, read_special_tokens
from .vocabulary import Vocabulary


def read_tokenizer_json(folder: Path) -> dict[str, Any] | None:
    """`tokenizer.json`, if there is one. Raises ConvertError, also if it is no BPE."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = read_json(path)
    model = tokenizer.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        kind = model.get("type") if isinstance(model, dict) else None
        raise ConvertError(f"tokenizer.json is a tokenizer of the kind {kind}: this command converts BPE")
    # `type` is missing in files of early versions.
    if model.get("type", "BPE") != "BPE":
        raise ConvertError(f"tokenizer.json is a tokenizer of the kind {model['type']}: this command converts BPE")
    return tokenizer


def is_byte_level(tokenizer: Mapping[str, Any]) -> bool:
    """Else its unknown characters become bytes only in the end, as SentencePiece does it."""
    return not tokenizer["model"].get("byte_fallback")


def vocabulary(folder: Path, tokenizer: Mapping[str, Any], n_rows: int) -> Vocabulary:
    """Raises ConvertError."""
    found = Vocabulary(n_rows, "gpt2", recognized(tokenizer))
    added = added_tokens(folder, tokenizer)
    added_ids = {token.id for token in added}
    for text, token_id in tokenizer["model"]["vocab"].items():
        if token_id not in added_ids:
            found.put(token_id, text.encode(), TokenType.NORMAL)
    found.put_added(added)
    found.put_special(read_special_tokens(folder, n_rows, merges=True), eos_ids(folder))
    if not found.special.merges:
        raise ConvertError("tokenizer.json has no merges")
    ids = found.special.special_token_ids
    if "eos" not in ids:
        raise ConvertError("no file names the token that ends a text: eos_token_id in config.json would")
    # llama.cpp's own defaults are other models': token 11, and to begin with it.
    ids.setdefault("bos", ids["eos"])
    found.special.add_special_token.setdefault("bos", False)
    return found
