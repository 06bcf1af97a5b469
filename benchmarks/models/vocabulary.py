"""A byte-level BPE vocabulary of a given size, made from nothing; prompts take as many tokens in it as in a real one.

First the bytes, then what prompts and JSON answers are made of (`benchmarks.words`), then invented words up to the size
asked for. A text becomes one token by merging, left to right, the pieces that the merges so far leave of it. New merges
rank last, so they change no text that is one token already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

from benchmarks.words import WORDS

END_OF_TEXT, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

ROLES = ("system", "user", "assistant")
JSON_PIECES = (' "', *'{" "} ": ", "] }, ], true false null'.split())
SYLLABLES = [consonant + vowel for consonant, vowel in product("bcdfghjklmnpqrstvwxz", "aeiou")]
"""What invented words consist of."""


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF stores, and what each token is for."""

    tokens: list[str]
    """In byte-level BPE's alphabet, where a space is Ġ; markup and padding as they are."""
    merges: list[str]
    spoken: list[int]
    """Invented words with a space before them: what the model says. Any row of them becomes the same tokens again."""
    pieces: list[int]
    """Of text that the model doesn't say by itself, single bytes apart: what JSON and prompts need."""
    markup: list[int]
    padding: list[int]

    @property
    def end_of_text(self) -> int:
        return self.tokens.index(END_OF_TEXT)

    @property
    def end_of_turn(self) -> int:
        return self.tokens.index(END_OF_TURN)


def make_vocabulary(n_text: int, n_vocab: int) -> Vocabulary:
    """`n_text` tokens of text, then markup, then padding to `n_vocab`."""
    bpe = _Growing()
    for text in _known_text():
        bpe.add(text)
    spoken = []
    for word in _invented_words():
        if len(bpe.tokens) == n_text:
            break
        before = len(bpe.tokens)
        bpe.add(" " + word, most=n_text)
        if len(bpe.tokens) == before + 1:
            spoken.append(before)
    markup = [END_OF_TEXT, START_OF_TURN, END_OF_TURN]
    padding = [f"[PAD{i}]" for i in range(n_text + len(markup), n_vocab)]
    said = set(spoken)
    return Vocabulary(
        tokens=[*bpe.tokens, *markup, *padding],
        merges=bpe.merges,
        spoken=spoken,
        pieces=[i for i in range(256, n_text) if i not in said],
        markup=list(range(n_text, n_text + len(markup))),
        padding=list(range(n_text + len(markup), n_vocab)),
    )


def _invented_words() -> Iterator[str]:
    """Words of two syllables, then of three, then of four."""
    for n in (2, 3, 4):
        for parts in product(SYLLABLES, repeat=n):
            yield "".join(parts)


def _known_text() -> Iterator[str]:
    """The pieces in which llama.cpp's pre-tokenizers cut prompts and JSON: words with a space, a quote or nothing
    before them, and runs of punctuation."""
    yield from JSON_PIECES
    for before in (" ", "", '"'):
        for word in (*WORDS, *ROLES):
            yield before + word
    yield from SYLLABLES


class _Growing:
    """A vocabulary in the making."""

    def __init__(self) -> None:
        self._letters = byte_letters()
        self.tokens = list(self._letters)
        self.merges: list[str] = []
        self._known = set(self.tokens)
        self._ranks: dict[tuple[str, str], int] = {}

    def add(self, text: str, most: int | None = None) -> None:
        """Make `text` one token; on the way, no more tokens than `most`."""
        first, *rest = self._pieces(text)
        for piece in rest:
            if len(self.tokens) == most:
                return
            self._ranks[first, piece] = len(self.merges)
            self.merges.append(f"{first} {piece}")
            first += piece
            if first not in self._known:
                self._known.add(first)
                self.tokens.append(first)

    def _pieces(self, text: str) -> list[str]:
        """What byte-pair encoding makes of it: always the merge of the lowest rank."""
        pieces = [self._letters[byte] for byte in text.encode()]
        ranks = self._ranks
        while len(pieces) > 1:
            found = [(ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in ranks]
            if not found:
                break
            _, i = min(found)
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
        return pieces


def byte_letters() -> list[str]:
    """The printable letter that byte-level BPE writes for each byte: itself where printable, else from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]
