"""`paddock evaluate`, as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from server.commands import evaluate
from server.commands.command import CommandError
from server.evaluation import metrics
from tests.server.commands.running import ROOT, command, failure, paddock
from tests.server.evaluation.stub_server import JSON, Reply, chat, error, stub_server

SUM = [{"role": "user", "content": "What is 2 plus 3?"}]
QUESTIONS = [
    {"prompt": "What is the capital of France?", "reference": "The capital of France is Paris."},
    {
        "id": "sum",
        "messages": [{"role": "user", "content": "What is 2 plus 3?"}],
        "reference": ["nothing", "2 + 3 = 5."],
    },
    {"prompt": "What does a cat say?", "reference": "moo"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return path


def test_the_demo_model_by_a_server_of_its_own(data: Path, tmp_path: Path) -> None:
    """Its answers then are predictions like others, with the same scores."""
    out = tmp_path / "out.jsonl"
    done = paddock("evaluate", data, "-t", 1, "-c", 2048, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert (first["rows"], first["errors"]) == (3, 0)
    assert first["scores"]["exact_match"] == pytest.approx(200 / 3, abs=0.001)
    assert set(first["scores"]) == {"exact_match", "rouge1", "rouge2", "rougeL", "bleu", "chrf"}
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["1", "sum", "3"]
    assert lines[1]["prediction"] == "2 + 3 = 5." and lines[1]["bleu"] == 100
    again = paddock("evaluate", data, "--predictions", out, "--json")
    assert json.loads(again.stdout) == first


def test_a_running_server(data: Path) -> None:
    def reply(_path: str, body: JSON, _before: int) -> Reply:
        return error(400, "no cats here") if "cat" in body["messages"][0]["content"] else chat("PARIS!")

    with stub_server(reply) as server:
        done = paddock(
            *("evaluate", data, "--url", server.url, "-n", 20, "--temp", 0.5, "--metrics", "exact,rouge"),
            *("--normalize", "--api-key", "k"),
        )
        assert done.returncode == 0, done.stderr
        assert {body["max_tokens"] for _, _, body in server.requests} == {20}
        assert {body["temperature"] for _, _, body in server.requests} == {0.5}
        assert {body["model"] for _, _, body in server.requests} == {"stub"}
        assert {headers["authorization"] for _, headers, _ in server.requests} == {"Bearer k"}
    assert done.stdout.startswith("exact match    0.00")
    assert "2 of 3 rows answered" in done.stdout
    assert done.stderr == "row 3: 400 Bad Request: no cats here\n"


def test_without_flags_answers_are_greedy_and_bounded(data: Path) -> None:
    with stub_server(lambda _path, _body, _before: chat("moo")) as server:
        assert paddock("evaluate", data, "--url", server.url, "--metrics", "exact").returncode == 0
        assert {(body["temperature"], body["max_tokens"]) for _, _, body in server.requests} == {(0, 512)}


def test_what_is_wrong_is_one_line(data: Path, tmp_path: Path) -> None:
    with stub_server(lambda _path, _body, _before: error(401, "wrong key")) as server:
        said = failure("evaluate", data, "--url", server.url, "--metrics", "exact", "--out", tmp_path / "o")
    assert "none of 3 rows was answered; row 1: 401 Unauthorized: wrong key" in said
    assert not (tmp_path / "o").exists()
    assert "cannot reach" in failure("evaluate", data, "--url", "http://127.0.0.1:9/v1")
    assert "there is no metric bleurt" in failure("evaluate", data, "--metrics", "exact,bleurt", status=2)
    assert "no model is asked" in failure("evaluate", data, "x.gguf", "--predictions", data, status=2)
    assert "line 1: prediction must be text" in failure("evaluate", data, "--predictions", data)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(number: signal.Signals, data: Path, tmp_path: Path) -> None:
    asked, leave = threading.Event(), threading.Event()

    def reply(_path: str, _body: JSON, _before: int) -> Reply:
        asked.set()
        leave.wait(60)
        return chat("too late")

    with stub_server(reply) as server:
        flags = ("--url", server.url, "--metrics", "exact", "--out", tmp_path / "out.jsonl")
        process = subprocess.Popen(command("evaluate", data, *flags), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert asked.wait(60)
        process.send_signal(number)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""
        leave.set()
    assert list(tmp_path.iterdir()) == [data]


def test_without_the_extra_exact_match_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda _name: None)
    assert evaluate._metric_names(None) == ["exact"]
    assert capsys.readouterr().err.count("pip install 'paddock[evaluate]'") == 1
    with pytest.raises(CommandError, match=r"^bleu: pip install 'paddock\[evaluate\]'$"):
        evaluate._metric_names("exact,bleu")
