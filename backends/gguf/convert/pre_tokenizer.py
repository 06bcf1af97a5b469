"""Which of llama.cpp's pre-tokenizers a `tokenizer.json` describes.

llama.cpp knows them by name and has their regular expressions built in, so a tokenizer is recognised by its own: those
that differ in one character would tokenize some texts otherwise, unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ConvertError

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LLAMA_3 = CONTRACTIONS + WORD + r"\p{N}{1,3}|" + SIGNS + SPACES
QWEN_2 = CONTRACTIONS + WORD + r"\p{N}|" + SIGNS + SPACES
SEED_CODER = CONTRACTIONS + WORD + r"\p{N}{1}| ?[^\s\p{L}\p{N}" + "\r\n" + r"]+|\s*[" + "\r\n" + r"]+|\s+(?!\S)|\s+"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES
)
BY_REGEX = {
    (LLAMA_3, True): "llama-bpe",
    (LLAMA_3, False): "smaug-bpe",
    (QWEN_2, False): "qwen2",
    (SEED_CODER, False): "seed-coder",
    (TEKKEN, True): "tekken",
}
"""A regular expression, whether words of the vocabulary are taken whole (`ignore_merges`), and llama.cpp's name."""


def recognized(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for the pre-tokenizer of a byte-level BPE `tokenizer.json`. Raises ConvertError."""
    _refuse_normalizer(tokenizer.get("normalizer"))
    steps = _steps(tokenizer.get("pre_tokenizer"))
    whole = bool(tokenizer["model"].get("ignore_merges"))
    match [(step.get("type"), step) for step in steps]:
        case [("Split", split), ("ByteLevel", last)] if _is_plain(last, own_regex=False) and _is_isolating(split):
            name = BY_REGEX.get((split["pattern"].get("Regex", ""), whole))
        case [("ByteLevel", last)] if _is_plain(last, own_regex=True) and not whole:
            name = "gpt-2"
        case [("Digits", digits), ("ByteLevel", last)] if _is_plain(last, own_regex=True) and not whole:
            name = "smollm" if digits.get("individual_digits") else None
        case _:
            name = None
    if name is None:
        raise ConvertError(
            "tokenizer.json splits text in a way that this command doesn't know from llama.cpp's pre-tokenizers; "
            "llama.cpp's convert_hf_to_gguf.py knows more of them"
        )
    return name


def _refuse_normalizer(normalizer: Any) -> None:
    # llama.cpp has no NFC; texts are in that form nearly always (docs/convert.md says so).
    if normalizer is not None and normalizer.get("type") != "NFC":
        raise ConvertError(f"tokenizer.json normalizes text ({normalizer.get('type')}), which llama.cpp doesn't here")


def _steps(pre_tokenizer: Any) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    if pre_tokenizer.get("type") == "Sequence":
        return list(pre_tokenizer["pretokenizers"])
    return [pre_tokenizer]


def _is_plain(byte_level: Mapping[str, Any], *, own_regex: bool) -> bool:
    return not byte_level.get("add_prefix_space") and byte_level.get("use_regex", True) == own_regex


def _is_isolating(split: Mapping[str, Any]) -> bool:
    return split.get("behavior") == "Isolated" and not split.get("invert")
