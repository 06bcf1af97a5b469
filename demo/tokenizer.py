"""The tokenizer: byte-level BPE whose words are cut the same way with and without a space before them.

Plain BPE cuts "blorf" and " blorf" at different places, which makes copying an unseen word at the start of
a line needlessly hard for a very small model. So the merges are learned on words without their space, and the
merges of a space with a piece come after all of them: " blorf" is "blorf" with a space on its first piece.
"""

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from demo.dialogue import CONTROL_TOKENS, MARKER_TOKENS
from demo.mixture import documents

LARGEST_VOCABULARY = 3072
LEARNED_WITHOUT_SPACES = 1750
SAMPLE_DOCUMENTS = 30_000
SPACE = "Ġ"  # how byte-level BPE writes a space

# As llama.cpp's "qwen2" (`llama_vocab::impl::load`): digits stand alone.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WITHOUT_SPACES_PATTERN = QWEN2_PATTERN.replace(r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{L}+")


def _cut(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _without_special_tokens(text: str) -> str:
    for token in CONTROL_TOKENS + MARKER_TOKENS:
        text = text.replace(token, "\n")
    return text


def train_tokenizer(seed: int) -> Tokenizer:
    """Learn the vocabulary from a sample of the training text."""
    texts = [_without_special_tokens(text) for text, _ in islice(documents(Random(seed)), SAMPLE_DOCUMENTS)]
    spaceless = Tokenizer(models.BPE())
    spaceless.pre_tokenizer = _cut(WITHOUT_SPACES_PATTERN)
    trainer = trainers.BpeTrainer(
        vocab_size=LEARNED_WITHOUT_SPACES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    spaceless.train_from_iterator(texts, trainer)
    learned = json.loads(spaceless.to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    merges = [tuple(merge) for merge in learned["merges"]]

    after_space: Counter[str] = Counter({letter: 1 for letter in map(chr, range(128)) if letter.isalpha()})
    for encoding in spaceless.encode_batch(texts[:15_000]):
        for left, right in zip(encoding.tokens, encoding.tokens[1:], strict=False):
            if left == SPACE and right[0].isascii() and right.isalpha():
                after_space[right] += 1
    room = LARGEST_VOCABULARY - len(CONTROL_TOKENS + MARKER_TOKENS) - len(vocabulary)
    for piece, _ in after_space.most_common(room):
        merges.append((SPACE, piece))
        vocabulary[SPACE + piece] = len(vocabulary)

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = _cut(QWEN2_PATTERN)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(CONTROL_TOKENS)
    tokenizer.add_tokens(MARKER_TOKENS)
    return tokenizer


def load_or_train(path: Path, seed: int) -> Tokenizer:
    """The tokenizer saved at `path`, made first if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        train_tokenizer(seed).save(str(path))
    return Tokenizer.from_file(str(path))
