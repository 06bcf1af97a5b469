"""Llama 3's own `tokenizer.model`: a line for each token, its bytes in base64 and its rank, as `tiktoken` reads it.

The special tokens are in Meta's program, not in the file, and so are they here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

from gguf import SpecialVocab, TokenType
from gguf.vocab import bytes_to_unicode

from .errors import ConvertError, read_json_if_there
from .vocabulary import Vocabulary

N_SPECIAL = 256
LLAMA_3 = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}
LLAMA_3_1 = LLAMA_3 | {4: "finetune_right_pad_id", 8: "eom_id", 10: "python_tag"}
"""Special tokens by their place after the others; the rest is reserved."""


def is_tiktoken(model: Path) -> bool:
    """SentencePiece's files are not text."""
    with model.open("rb") as file:
        return file.readline(200).strip().partition(b" ")[2].isdigit()


def vocabulary(model: Path, folder: Path, n_rows: int) -> Vocabulary:
    """`folder`: the model's, with `params.json`. Raises ConvertError."""
    ranks = _ranks(model)
    found = Vocabulary(n_rows, "gpt2", "llama-bpe")
    letters = {byte: ord(letter) for byte, letter in bytes_to_unicode().items()}

    def spelled(token: bytes) -> str:
        return token.decode("latin-1").translate(letters)

    for token, rank in ranks.items():
        found.put(rank, spelled(token).encode(), TokenType.NORMAL)
    names = LLAMA_3_1 if read_json_if_there(folder / "params.json").get("use_scaled_rope") else LLAMA_3
    n_reserved = 0
    for place in range(N_SPECIAL):
        name = names.get(place) or f"reserved_special_token_{n_reserved}"
        n_reserved += place not in names
        found.put(len(ranks) + place, f"<|{name}|>".encode(), TokenType.CONTROL)
    special = SpecialVocab(folder)
    special.special_token_ids |= {"bos": len(ranks), "eos": len(ranks) + 1}
    special.add_special_token["bos"] = True
    special.merges = [f"{spelled(left)} {spelled(right)}" for left, right in _merges(ranks)]
    found.put_special(special, [])
    return found


def _ranks(model: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    try:
        for line in model.read_bytes().splitlines():
            encoded, _, rank = line.partition(b" ")
            ranks[base64.b64decode(encoded, validate=True)] = int(rank)
    except (ValueError, binascii.Error):
        raise ConvertError(f"{model} is neither SentencePiece's nor tiktoken's") from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ConvertError(f"{model} has gaps in its ranks")
    return ranks


def _merges(ranks: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Every pair of tokens that makes a token, in the order in which tiktoken merges: by the rank of what is made."""
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        pairs = [(left, right) for left, right in cuts if left in ranks and right in ranks]
        yield from sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
