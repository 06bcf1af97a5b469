"""What came of an evaluation: a table, a JSON document, a line for each row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .metrics import Metric, Score
from .rows import Answer, Row

TITLES = {
    "exact_match": "exact match",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
}


@dataclass(frozen=True)
class Evaluation:
    """Scores are of the rows that have an answer."""

    rows: Sequence[Row]
    answers: Sequence[Answer]
    metrics: Sequence[Metric]

    @property
    def errors(self) -> list[tuple[Row, str]]:
        return [(row, a.error) for row, a in zip(self.rows, self.answers, strict=True) if a.error is not None]

    def scores(self) -> dict[str, Score]:
        """At least one row must have an answer."""
        answered = [(row, answer) for row, answer in zip(self.rows, self.answers, strict=True) if answer.error is None]
        texts, references = [answer.text for _, answer in answered], [row.references for row, _ in answered]
        return {name: score for metric in self.metrics for name, score in metric.of_all(texts, references).items()}

    def lines(self) -> list[str]:
        """JSON for each row, with its scores: predictions that can be evaluated again."""
        return [json.dumps(self._line(row, answer), ensure_ascii=False) for row, answer in self._pairs()]

    def table(self) -> str:
        scores = self.scores()
        width = max(len(TITLES[name]) for name in scores)
        lines = [f"{TITLES[name]:{width}}  {_shown(score)}" for name, score in scores.items()]
        n_answered = len(self.rows) - len(self.errors)
        return "\n".join([*lines, f"{n_answered} of {len(self.rows)} rows answered; scores are from 0 to 100"])

    def document(self) -> dict[str, Any]:
        scores = self.scores()
        return {
            "rows": len(self.rows),
            "errors": len(self.errors),
            "scores": {name: round(score.value, 4) for name, score in scores.items()},
            "standard_errors": {n: round(s.error, 4) for n, s in scores.items() if s.error is not None},
            "signatures": {name: score.signature for name, score in scores.items() if score.signature is not None},
        }

    def _pairs(self) -> list[tuple[Row, Answer]]:
        return list(zip(self.rows, self.answers, strict=True))

    def _line(self, row: Row, answer: Answer) -> dict[str, Any]:
        if answer.error is not None:
            return {"id": row.id, "error": answer.error, "reference": row.references}
        scores = {n: s for metric in self.metrics for n, s in metric.of_row(answer.text, row.references).items()}
        return {
            "id": row.id,
            "prediction": answer.text,
            "reference": row.references,
            **{name: round(score, 4) for name, score in scores.items()},
        }


def _shown(score: Score) -> str:
    return f"{score.value:6.2f}" + (f" ± {score.error:.2f}" if score.error is not None else "")
