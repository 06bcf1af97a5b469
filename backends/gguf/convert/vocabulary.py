"""A checkpoint's tokenizer, as a GGUF holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gguf import GGUFWriter, SpecialVocab, TokenType

from .added_tokens import AddedToken
from .errors import ConvertError, some
from .special_tokens import add_ends

UNUSED_SCORE, ADDED_SCORE = -10000.0, -1000.0


@dataclass
class Vocabulary:
    """One token for each row of the embeddings."""

    n_rows: int
    model: str
    """`tokenizer.ggml.model`: `llama` (SentencePiece) or `gpt2` (byte-level BPE)."""
    pre: str
    """`tokenizer.ggml.pre`."""
    tokens: list[bytes] = field(init=False)
    types: list[int] = field(init=False)
    scores: list[float] = field(init=False)
    """How early pieces are merged; SentencePiece only."""
    add_space_prefix: bool | None = None
    """Whether text begins with a space that isn't there; None: as llama.cpp thinks of the model."""
    notes: list[str] = field(default_factory=list)
    """What llama.cpp will do otherwise, a line each."""
    special: SpecialVocab = field(init=False)
    """Which tokens begin and end texts, the chat template, and BPE's merges."""

    def __post_init__(self) -> None:
        self.tokens = [f"[PAD{token_id}]".encode() for token_id in range(self.n_rows)]
        self.types = [int(TokenType.UNUSED)] * self.n_rows
        self.scores = [UNUSED_SCORE] * self.n_rows

    def put(self, token_id: int, text: bytes, kind: int, score: float = 0.0) -> None:
        """Raises ConvertError, if the embeddings have no such row."""
        if not 0 <= token_id < self.n_rows:
            spelled = text.decode(errors="replace")
            raise ConvertError(
                f"the tokenizer has a token {token_id} ({spelled!r}), the embeddings have {self.n_rows} rows"
            )
        self.tokens[token_id], self.types[token_id], self.scores[token_id] = text, int(kind), score

    def put_added(self, added: list[AddedToken]) -> None:
        """Added tokens without a row are left out: the model can neither read nor write them."""
        if beyond := [token.text for token in added if token.id >= self.n_rows]:
            self.notes.append(f"tokens that the embeddings have no row for are left out: {some(beyond)}")
        for token in added:
            if token.id >= self.n_rows or self.types[token.id] == TokenType.UNKNOWN:
                continue
            is_user_defined = token.type is TokenType.USER_DEFINED and self.model == "llama"
            text = token.text.replace("▁", " ") if is_user_defined else token.text
            self.put(token.id, text.encode(), token.type, ADDED_SCORE)
        if greedy := [token.text for token in added if token.strips]:
            self.notes.append(f"llama.cpp keeps the spaces beside tokens that take them in: {some(greedy)}")

    def put_special(self, special: SpecialVocab, ends: list[int]) -> None:
        """`ends`: every token that ends a text, as far as the configuration tells."""
        self.special = special
        if lost := add_ends(special, ends, self.tokens):
            self.notes.append(f"a GGUF has no place for this many ends of sequence; left out: {some(lost)}")

    def check(self) -> None:
        """Raises ConvertError, if two tokens have the same text: llama.cpp would end the process."""
        seen: set[bytes] = set()
        for text in self.tokens:
            if text in seen:
                raise ConvertError(f"the tokenizer has the token {text.decode(errors='replace')!r} twice")
            seen.add(text)

    def write(self, writer: GGUFWriter) -> None:
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.model == "llama":
            writer.add_token_scores(self.scores)
        if self.add_space_prefix is not None:
            writer.add_add_space_prefix(self.add_space_prefix)
        self.special.add_to_gguf(writer, quiet=True)
