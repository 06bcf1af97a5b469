"""Whether an answer is the reference, letter by letter or as SQuAD's evaluation compares them."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """In lower case, without punctuation, English articles and needless space: as SQuAD's evaluation does it."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, references: Iterable[str], *, normalize: bool) -> bool:
    """Whether it is one of the references. Space around them never counts."""
    if normalize:
        return normalized(answer) in map(normalized, references)
    return answer.strip() in (reference.strip() for reference in references)
