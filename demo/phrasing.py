"""Ways to say the same thing, split into those for training and those for the evaluation.

The two sets of wordings of a `Phrasings` share no entry, so no evaluation prompt that is made from one can
have been trained on; `evaluate.py` checks that on the finished prompts as well.
"""

from dataclasses import dataclass
from enum import Enum
from random import Random
from zlib import crc32


class Split(Enum):
    """Which of the two disjoint sets of phrasings and words to draw from."""

    TRAIN = "train"
    EVALUATION = "evaluation"


OPENINGS = [
    "Please tell me: ", "Tell me: ", "Hey, ", "Quick question: ", "Question: ", "Hi! ", "Hello! ",
    "I have a question. ", "I wonder: ", "So, ", "OK, ", "Now, ", "And ", "Please answer: ", "Well, ",
    "Next question: ", "Help me, please. ", "One more: ",
]  # fmt: skip
CLOSINGS = [" Thanks.", " Thank you!", " Please.", " Please answer.", " I forgot.", " Do you know?"]


@dataclass(frozen=True)
class Phrasings:
    """Wordings with `{}` fields: some to train on, some to evaluate on."""

    train: list[str]
    evaluation: list[str]

    def pick(self, rng: Random, split: Split) -> str:
        """One wording of the split."""
        return rng.choice(self.train if split is Split.TRAIN else self.evaluation)


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def dressed(text: str, rng: Random) -> str:
    """A request as people type it: with an opening, a closing, in sloppy case, or just so."""
    roll = rng.random()
    if roll < 0.25:
        opening = rng.choice(OPENINGS)
        return opening + (sentence(text) if opening.rstrip()[-1] in ".!" else text)
    if roll < 0.35:
        return sentence(text) + rng.choice(CLOSINGS)
    if roll < 0.42:
        return text.rstrip("?.")
    return sentence(text)


def is_held_out(word: str) -> bool:
    """Whether a made-up word, a subject or the like is kept for the evaluation (one in six)."""
    return crc32(word.lower().encode()) % 6 == 0


def belongs(word: str, split: Split) -> bool:
    """Whether the word may be used in the split."""
    return is_held_out(word) == (split is Split.EVALUATION)
