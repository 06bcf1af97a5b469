"""Data files and files of predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.evaluation.metrics import metric
from server.evaluation.report import Evaluation
from server.evaluation.rows import Answer, BadData, Row, read_predictions, read_rows


def written(path: Path, *lines: object) -> str:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return str(path)


def test_prompts_and_chats(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    name = written(
        tmp_path / "data.jsonl",
        {"prompt": "a", "reference": "b"},
        "",
        {"id": 7, "messages": messages, "reference": ["c", "d"], "level": "easy"},
    )
    assert read_rows(name) == [Row("1", "a", None, ["b"]), Row("7", None, messages, ["c", "d"])]


def test_a_byte_order_mark_and_separators_of_lines_within_text(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\xef\xbb\xbf" + '{"prompt": "a\u2028b", "reference": "c"}'.encode() + b"\r\n")
    assert read_rows(str(tmp_path / "data")) == [Row("1", "a\u2028b", None, ["c"])]


BAD_ROWS = {
    "no JSON": "{",
    "not a JSON object": "[1]",
    "give either prompt or messages": {"reference": "a"},
    "either prompt or messages": {"prompt": "a", "messages": [], "reference": "a"},
    "prompt must be text": {"prompt": 1, "reference": "a"},
    "messages must be a list of objects": {"messages": ["hi"], "reference": "a"},
    "reference must be text, or a list": {"prompt": "a"},
    "reference must be text": {"prompt": "a", "reference": []},
    "or a list of texts": {"prompt": "a", "reference": ["a", 1]},
    "id must be text or a whole number": {"prompt": "a", "reference": "b", "id": [1]},
}


@pytest.mark.parametrize("said", BAD_ROWS)
def test_a_bad_row_is_named(said: str, tmp_path: Path) -> None:
    name = written(tmp_path / "data", {"prompt": "a", "reference": "b"}, "", BAD_ROWS[said])
    with pytest.raises(BadData, match=f"^{name}, line 3: .*{said}"):
        read_rows(name)


def test_files_that_are_no_data(tmp_path: Path) -> None:
    for content, said in ((b"\n", "has no rows"), (b"caf\xe9", "not UTF-8"), (b"[" * 100_000, "no JSON")):
        (tmp_path / "data").write_bytes(content)
        with pytest.raises(BadData, match=said):
            read_rows(str(tmp_path / "data"))
    with pytest.raises(BadData, match="cannot read"):
        read_rows(str(tmp_path / "none"))
    twice = written(tmp_path / "twice", *[{"id": 1, "prompt": "a", "reference": "b"}] * 2)
    with pytest.raises(BadData, match="two rows have the id 1"):
        read_rows(twice)


def test_predictions_by_id_or_in_order(tmp_path: Path) -> None:
    rows = [Row("x", "a", None, ["b"]), Row("2", "a", None, ["b"])]
    name = written(tmp_path / "p", {"id": 2, "prediction": "two"}, {"id": "x", "prediction": "ex"})
    assert read_predictions(name, rows) == [Answer("ex"), Answer("two")]
    rows = [Row("1", "a", None, ["b"]), Row("2", "a", None, ["b"])]
    name = written(tmp_path / "p", {"prediction": "one"}, {"prediction": "two"})
    assert read_predictions(name, rows) == [Answer("one"), Answer("two")]
    with pytest.raises(BadData, match="no prediction for row 2, and 1 of 2"):
        read_predictions(written(tmp_path / "p", {"prediction": "one"}), rows)
    with pytest.raises(BadData, match="line 1: prediction must be text"):
        read_predictions(written(tmp_path / "p", {"prediction": None, "error": 503}), rows)


def test_predictions_that_an_evaluation_has_written(tmp_path: Path) -> None:
    """Rows without an answer are among them."""
    rows = [Row("1", "a", None, ["b"]), Row("2", "a", None, ["b"])]
    answers = [Answer("b"), Answer(error="503: busy")]
    (tmp_path / "out").write_text("\n".join(Evaluation(rows, answers, [metric("exact")]).lines()))
    assert read_predictions(str(tmp_path / "out"), rows) == answers
