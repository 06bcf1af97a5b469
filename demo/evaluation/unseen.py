"""Check that the evaluation asks nothing that was trained on."""

import re
from collections.abc import Iterator
from itertools import islice
from random import Random

from demo.evaluation.cases import SKILLS, Case, cases
from demo.mixture import documents, long_documents
from demo.train import BLOCK, LONG_EVERY, LONG_ROWS, SEED, SIZES, STEPS

_QUESTION = re.compile(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", re.DOTALL)
FEWEST_TOKENS = 60  # per document on average; so that we read at least as many as the training did
DOCUMENTS = BLOCK * SIZES[0][0] * SIZES[0][1] // FEWEST_TOKENS


def _trained_texts() -> Iterator[str]:
    """All documents of the training, and some more of the same streams."""
    for block in range(STEPS // BLOCK):
        short = documents(Random(f"{SEED} {block}"))
        long = long_documents(Random(f"{SEED} {block} long"))
        yield from (text for text, _ in islice(short, DOCUMENTS))
        yield from (text for text, _ in islice(long, BLOCK // LONG_EVERY * LONG_ROWS))


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def asked_in_training(count: int, seed: int) -> list[Case]:
    """The chat cases whose question occurs, but for case and punctuation, in the training text."""
    asked = {_folded(question) for text in _trained_texts() for question in _QUESTION.findall(text)}
    chat = [case for skill in SKILLS if skill != "continues plain text" for case in cases(skill, count, seed)]
    return [case for case in chat if _folded(case.question) in asked]
