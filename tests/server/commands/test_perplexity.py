"""`paddock perplexity`: its output, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from server.model_source import find_model
from tests.server.commands.running import failure, paddock

DEMO = find_model(None)
SENTENCE = "Once upon a time there was a brave mermaid. The brave mermaid lived by the sea. "


def test_a_text_that_it_knows_is_foreseen_better(tmp_path: Path) -> None:
    known, strange = tmp_path / "known.txt", tmp_path / "strange.txt"
    known.write_text(SENTENCE * 20)
    strange.write_text("Sphinx of black quartz, judge my vow; jumps over lazy dogs! " * 20)
    found = json.loads(paddock("perplexity", DEMO, known, "-c", 128, "-t", 1, "--json").stdout)
    assert 1 < found["perplexity"] < 5
    assert found["tokens_scored"] == found["chunks"] * 63
    assert found["tokens_per_second"] > 0
    worse = json.loads(paddock("perplexity", DEMO, strange, "-c", 128, "-t", 1, "--json").stdout)
    assert worse["perplexity"] > found["perplexity"]


def test_standard_input_and_another_model() -> None:
    done = paddock("perplexity", DEMO, "-", "-c", 64, "--chunks", 2, "-t", 1, "--kl", DEMO, stdin=SENTENCE * 20)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("perplexity ")
    assert "62 tokens scored in 2 chunks of 64" in done.stdout
    assert "KL divergence 0.0000" in done.stdout
    assert "same most likely token: 100.00%" in done.stdout


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes(b"caf\xe9")
    (tmp_path / "short").write_text("a b c")
    assert "is not UTF-8 text (byte 3)" in failure("perplexity", DEMO, tmp_path / "latin1")
    assert "cannot read" in failure("perplexity", DEMO, tmp_path / "none")
    assert "give more text, or a smaller -c" in failure("perplexity", DEMO, tmp_path / "short")
    assert "must be a whole number of at least 8" in failure("perplexity", DEMO, tmp_path / "short", "-c", 7, status=2)
    assert "invalid choice" in failure("perplexity", DEMO, tmp_path / "short", "-ctk", "q3", status=2)
    assert "there is no file" in failure("perplexity", tmp_path / "none.gguf", tmp_path / "short")
    # before such a context is made
    assert "a chunk 999999999: give more text" in failure("perplexity", DEMO, tmp_path / "short", "-c", 999_999_999)
