"""The metrics: exact match, ROUGE by `rouge-score`, BLEU and chrF by `sacrebleu`. All from 0 to 100.

Where a row has several references, exact match and ROUGE take the best of them, BLEU and chrF look at all together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from .exact_match import exact_match

EXTRA = "pip install 'paddock[evaluate]'"


@dataclass(frozen=True)
class Score:
    value: float
    error: float | None = None
    """Standard error of a mean over rows; None where the value is no such mean."""
    signature: str | None = None
    """sacrebleu's description of how it was computed."""


class Metric(Protocol):
    def of_row(self, answer: str, references: Sequence[str]) -> dict[str, float]:
        """By name."""
        ...

    def of_all(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]: ...


@dataclass(frozen=True)
class ExactMatch:
    normalize: bool = False

    def of_row(self, answer: str, references: Sequence[str]) -> dict[str, float]:
        return {"exact_match": 100.0 * exact_match(answer, references, normalize=self.normalize)}

    def of_all(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        return _means([self.of_row(*row) for row in zip(answers, references, strict=True)])


class Rouge:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L, without stemming. Its words are Latin letters and digits."""

    def __init__(self) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self._scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])

    def of_row(self, answer: str, references: Sequence[str]) -> dict[str, float]:
        best = self._scorer.score_multi(references, answer)
        return {name: 100.0 * score.fmeasure for name, score in best.items()}

    def of_all(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        return _means([self.of_row(*row) for row in zip(answers, references, strict=True)])


class Sacrebleu:
    """BLEU or chrF: of all rows, what its corpus score is; of one, the sentence score."""

    def __init__(self, name: str) -> None:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        self._name = name
        kinds: dict[str, Any] = {"bleu": BLEU, "chrf": CHRF}
        self._corpus = kinds[name]()
        self._sentence = BLEU(effective_order=True) if name == "bleu" else self._corpus

    def of_row(self, answer: str, references: Sequence[str]) -> dict[str, float]:
        return {self._name: self._sentence.sentence_score(answer, list(references)).score}

    def of_all(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Score]:
        most = max(map(len, references))
        streams = [[row[i] if i < len(row) else None for row in references] for i in range(most)]
        value = float(self._corpus.corpus_score(list(answers), streams).score)
        return {self._name: Score(value, signature=str(self._corpus.get_signature()))}


METRICS = ("exact", "rouge", "bleu", "chrf")
_PACKAGES = {"rouge": "rouge_score", "bleu": "sacrebleu", "chrf": "sacrebleu"}


def lacking(names: Sequence[str]) -> list[str]:
    """Those of METRICS whose package isn't installed."""
    return [name for name in names if name in _PACKAGES and find_spec(_PACKAGES[name]) is None]


def metric(name: str, *, normalize: bool = False) -> Metric:
    """One of METRICS, whose package is there."""
    if name == "exact":
        return ExactMatch(normalize)
    return Rouge() if name == "rouge" else Sacrebleu(name)


def _means(rows: Sequence[dict[str, float]]) -> dict[str, Score]:
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: Sequence[float]) -> Score:
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / max(1, n - 1)
    return Score(mean, math.sqrt(variance / n))
