"""docs/walk.md on a small scale: a checkpoint is made, converted, quantized, looked at, measured, served."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import small_checkpoint
from tests.e2e.serving import Server, serving
from tests.e2e.small_checkpoint import ANSWERS, OTHER_ANSWERS

QUESTION = "What does a paddock hold?"


def paddock(*arguments: str | Path) -> str:
    """What the command prints; it must succeed."""
    command = [sys.executable, "-m", "server", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Walk:
    """The files that the steps leave."""

    checkpoint: Path
    peft: Path
    converted: Path
    quantized: Path
    adapter: Path
    text: Path


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Checkpoint → GGUF → Q4_K_M, and its LoRA adapter → GGUF."""
    folder = tmp_path_factory.mktemp("walk")
    names = ("checkpoint", "peft", "model-f32.gguf", "model-q4_k_m.gguf", "adapter.gguf", "text.txt")
    walk = Walk(*(folder / name for name in names))
    small_checkpoint.write_checkpoint(walk.checkpoint)
    small_checkpoint.write_adapter(walk.checkpoint, walk.peft)
    walk.text.write_text(" ".join([small_checkpoint.text_of(ANSWERS)] * 3))
    paddock("convert", walk.checkpoint, walk.converted, "--outtype", "f32")
    paddock("quantize", walk.converted, walk.quantized, "Q4_K_M")
    paddock("convert-lora", walk.peft, walk.adapter, "--base", walk.checkpoint)
    return walk


@pytest.fixture(scope="module")
def server(walk: Walk) -> Iterator[Server]:
    flags = ("--alias", "stable", "--temp", "0", "--lora-modules", f"racing={walk.adapter}")
    with serving("-m", str(walk.quantized), *flags) as server:
        yield server


def test_the_file_is_as_it_was_told_to_be(walk: Walk) -> None:
    seen = json.loads(paddock("inspect", walk.quantized, "--json"))
    assert seen["architecture"] == "llama"
    assert walk.quantized.stat().st_size < walk.converted.stat().st_size / 3


def test_quantizing_costs_a_little(walk: Walk) -> None:
    before, after = (
        json.loads(paddock("perplexity", path, walk.text, "-c", "64", "--json"))["perplexity"]
        for path in (walk.converted, walk.quantized)
    )
    assert 1 < before < 3
    assert abs(after - before) < 0.5 and after != before


def ask(server: Server, model: str, question: str) -> str | None:
    client = server.client()
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content


@pytest.mark.parametrize("question", ANSWERS)
def test_the_model_answers_as_it_was_trained(server: Server, question: str) -> None:
    assert ask(server, "stable", question) == ANSWERS[question]


@pytest.mark.parametrize("question", ANSWERS)
def test_the_adapter_answers_under_its_own_name(server: Server, question: str) -> None:
    assert ask(server, "racing", question) == (ANSWERS | OTHER_ANSWERS)[question]


def test_both_are_listed(server: Server) -> None:
    assert {"stable", "racing"} <= {model.id for model in server.client().models.list()}


def test_chat_and_evaluate_talk_to_it(server: Server, walk: Walk, tmp_path: Path) -> None:
    assert paddock("run", "--url", server.url, QUESTION).strip() == ANSWERS[QUESTION]
    questions = tmp_path / "questions.jsonl"
    rows = [json.dumps({"prompt": question, "reference": answer}) for question, answer in ANSWERS.items()]
    questions.write_text("\n".join(rows))
    command = ("evaluate", questions, "--url", server.url, "--model", "stable", "-n", "40", "--json")
    assert json.loads(paddock(*command))["scores"]["exact_match"] == 100
