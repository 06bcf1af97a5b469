"""What is asked."""

from __future__ import annotations

from random import Random

from benchmarks.loads.prediction import altered
from benchmarks.prompts import Prompts


def test_the_same_seed_gives_the_same_prompts_and_another_one_others() -> None:
    first, again, other = (Prompts(seed, len).question(100)[0]["content"] for seed in ("a", "a", "b"))
    assert first == again != other
    assert len(first.split()) == 100


def test_a_prediction_is_wrong_at_every_so_manieth_word() -> None:
    text = " ".join(f"word{i}" for i in range(100))
    words = altered(" " + text, 20, Random(1)).split(" ")
    assert [i for i, word in enumerate(words) if i and word != f"word{i - 1}"] == [20, 40, 60, 80, 100]
