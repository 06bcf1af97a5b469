"""Two small vocabularies for test models: byte-level BPE and SentencePiece.

Both can spell any text. `quiet` lists the tokens that a test model should never choose by itself: markup,
and pieces that are not whole printable characters, so that greedy runs are long and text shows every token.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import gguf

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_WORDS = """
the and ing of to in is that it for was on are as with his they at be this have from or had by word but not what all
were we when your can said there use an each which she do how their if will up other about out many then them these
so some her would make like him into time has look two more write go see number no way could people my than first
water been call who oil its now find long down day did get come made may part er re nd es st en
"""

WORDS = _WORDS.split()
"""Become one token each, with a space before them."""

WHOLE_CHARACTERS = ("é", "ü", "—", "日", "本", "🙂")
"""Become one token each, so that a model's own text holds characters of two to four bytes."""

BOS, EOS, IM_START, IM_END = "<|bos|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (BOS, EOS, IM_START, IM_END, "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|pad|>")


@dataclass
class Vocab:
    """A vocabulary as a GGUF stores it."""

    kind: str
    """`tokenizer.ggml.model`."""
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] | None = None
    quiet: set[int] = field(default_factory=set)
    bos: int = 0
    eos: int = 0
    eot: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def write(self, writer: gguf.GGUFWriter, *, pre: str, add_bos: bool) -> None:
        """Add the `tokenizer.*` keys."""
        writer.add_tokenizer_model(self.kind)
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores is not None:
            writer.add_token_scores(self.scores)
        if self.merges:
            writer.add_token_merges(self.merges)
        writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        writer.add_eot_token_id(self.eot)
        writer.add_add_bos_token(add_bos)
        writer.add_add_eos_token(False)
        writer.add_chat_template(CHATML)


def _byte_letters() -> list[str]:
    """The printable letter that byte-level BPE writes for each byte: itself where printable, else from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, spare = [], 0x100
    for byte in range(256):
        if byte in printable:
            letters.append(chr(byte))
        else:
            letters.append(chr(spare))
            spare += 1
    return letters


def bpe_vocab() -> Vocab:
    """256 bytes, the words above by merges, markup at the end."""
    letters = _byte_letters()
    tokens, merges = list(letters), []
    known = set(tokens)
    for text in (*(" " + word for word in WORDS), *WHOLE_CHARACTERS):
        spelled = [letters[byte] for byte in text.encode()]
        prefix = spelled[0]
        for letter in spelled[1:]:
            if prefix + letter not in known:
                merges.append(f"{prefix} {letter}")
                tokens.append(prefix + letter)
                known.add(prefix + letter)
            prefix += letter
    back = {letter: byte for byte, letter in enumerate(letters)}
    quiet = {i for i, token in enumerate(tokens) if not _whole(bytes(back[letter] for letter in token))}
    types = [int(gguf.TokenType.NORMAL)] * len(tokens) + [int(gguf.TokenType.CONTROL)] * len(SPECIALS)
    return _with_specials(Vocab("gpt2", tokens, types, merges, quiet=quiet))


def spm_vocab() -> Vocab:
    """`<unk>`, 256 byte tokens, printable ASCII, the words above by scores, markup at the end."""
    tokens = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [int(gguf.TokenType.UNKNOWN)] + [int(gguf.TokenType.BYTE)] * 256
    scores = [0.0] * len(tokens)
    quiet = set(range(len(tokens)))
    known = set(tokens)
    pieces = ["▁", *(chr(code) for code in range(0x21, 0x7F)), *WHOLE_CHARACTERS]
    for word in WORDS:
        # SentencePiece merges neighbours pairwise, so every prefix of a word must be a piece too.
        pieces += ["▁" + word[:end] for end in range(1, len(word) + 1)]
    for piece in pieces:
        if piece not in known:
            known.add(piece)
            tokens.append(piece)
            types.append(int(gguf.TokenType.NORMAL))
            scores.append(-float(len(scores)))
    scores += [0.0] * len(SPECIALS)
    types += [int(gguf.TokenType.CONTROL)] * len(SPECIALS)
    return _with_specials(Vocab("llama", tokens, types, scores=scores, quiet=quiet))


def _with_specials(vocab: Vocab) -> Vocab:
    first = len(vocab.tokens)
    vocab.tokens += SPECIALS
    vocab.quiet |= set(range(first, len(vocab.tokens)))
    vocab.bos, vocab.eos, vocab.eot = (vocab.tokens.index(text) for text in (BOS, EOS, IM_END))
    return vocab


def _whole(piece: bytes) -> bool:
    """Whether the bytes are printable characters, none cut off."""
    try:
        return piece.decode().isprintable() or piece == b"\n"
    except UnicodeDecodeError:
        return False
