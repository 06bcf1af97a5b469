"""The metrics: by hand where that can be, else against the libraries' own documented use."""

from __future__ import annotations

import math
from importlib.util import find_spec

import pytest
import sacrebleu

from server.evaluation import metrics
from server.evaluation.exact_match import exact_match, normalized
from server.evaluation.metrics import ExactMatch, Rouge, Sacrebleu, lacking, metric

ANSWERS = ["The cat sat on the mat.", "It is raining today"]
REFERENCES = [["The cat sat on a mat.", "A cat sat there."], ["Today it rains."]]


def test_normalizing_as_squad_does() -> None:
    assert normalized(" The  Cat, a dog & an\tox! ") == "cat dog ox"
    assert normalized("another theory") == "another theory"


def test_exact_match() -> None:
    assert exact_match("Paris\n", ["London", " Paris"], normalize=False)
    assert not exact_match("paris", ["Paris"], normalize=False)
    assert exact_match("The paris.", ["Paris"], normalize=True)


def test_a_mean_and_its_standard_error() -> None:
    score = ExactMatch().of_all(["a", "b", "c", "d"], [["a"], ["x"], ["c"], ["d"]])["exact_match"]
    assert score.value == 75
    assert score.error == pytest.approx(100 * math.sqrt((3 * 0.25**2 + 0.75**2) / 3 / 4))


def test_rouge_by_hand() -> None:
    # 5 of 6 words shared; 3 of 5 pairs; the longest common subsequence has 5 words
    found = Rouge().of_row(ANSWERS[0], REFERENCES[0][:1])
    assert found == pytest.approx({"rouge1": 100 * 5 / 6, "rouge2": 100 * 3 / 5, "rougeL": 100 * 5 / 6})
    assert Rouge().of_row(ANSWERS[0], REFERENCES[0]) == pytest.approx(found)  # the best of several


def test_bleu_and_chrf_are_sacrebleus() -> None:
    streams = [[row[i] if i < len(row) else None for row in REFERENCES] for i in range(2)]
    bleu = Sacrebleu("bleu").of_all(ANSWERS, REFERENCES)["bleu"]
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(ANSWERS, streams).score)
    assert bleu.signature is not None and "tok:13a" in bleu.signature
    assert Sacrebleu("chrf").of_all(ANSWERS, REFERENCES)["chrf"].value == pytest.approx(
        sacrebleu.corpus_chrf(ANSWERS, streams).score
    )
    row = Sacrebleu("bleu").of_row(ANSWERS[0], REFERENCES[0])["bleu"]
    assert row == pytest.approx(sacrebleu.sentence_bleu(ANSWERS[0], REFERENCES[0]).score)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_the_right_answer_has_100(name: str) -> None:
    right = [references[0] for references in REFERENCES]
    assert [score.value for score in metric(name).of_all(right, REFERENCES).values()] == pytest.approx(
        [100] * len(metric(name).of_all(right, REFERENCES))
    )
    assert all(score.value < 5 for score in metric(name).of_all(["", "?"], REFERENCES).values())


def test_what_is_not_installed_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacking(metrics.METRICS) == []
    monkeypatch.setattr(metrics, "find_spec", lambda name: None if name == "sacrebleu" else find_spec(name))
    assert lacking(metrics.METRICS) == ["bleu", "chrf"]
