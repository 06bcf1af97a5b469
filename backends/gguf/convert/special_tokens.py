"""Which tokens begin and end texts, and the chat template: from the files beside a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gguf import SpecialVocab

from .errors import read_json_if_there

ENDS = frozenset(
    {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>", "</s>"}
)
"""Tokens that end a text by their look, as far as llama.cpp is concerned."""


def read_special_tokens(folder: Path, n_tokens: int, *, merges: bool = False) -> SpecialVocab:
    """What the files of a Transformers tokenizer say; nothing, where there are none."""
    found = SpecialVocab(folder, load_merges=merges, n_vocab=n_tokens)
    template = folder / "chat_template.jinja"
    if found.chat_template is None and template.is_file():  # the library wants tokenizer_config.json beside it
        found.chat_template = template.read_text(encoding="utf-8")
    return found


def eos_ids(folder: Path) -> list[int]:
    """Every end of sequence that the model's configuration names, each once."""
    found: dict[int, None] = {}
    for name in ("config.json", "generation_config.json"):
        ids: Any = read_json_if_there(folder / name).get("eos_token_id")
        for token_id in ids if isinstance(ids, list) else [ids]:
            if type(token_id) is int:
                found[token_id] = None
    return list(found)


def add_ends(special: SpecialVocab, ids: Sequence[int], tokens: Sequence[bytes]) -> list[str]:
    """Beside the one end of sequence that a GGUF names, llama.cpp ends texts at tokens that look like ends, and at two
    more: what else the model ends with is put there. The texts of those for which there is no place."""
    texts = {token_id: tokens[token_id].decode(errors="replace") for token_id in ids if 0 <= token_id < len(tokens)}
    named = special.special_token_ids
    if texts:
        named.setdefault("eos", next(iter(texts)))
    others = [token_id for token_id, text in texts.items() if token_id != named.get("eos") and text not in ENDS]
    slots = [slot for slot in ("eom", "eot") if slot not in named]
    named.update(zip(slots, others, strict=False))
    return [texts[token_id] for token_id in others[len(slots) :]]
