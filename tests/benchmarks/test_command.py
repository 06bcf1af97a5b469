"""The command line: what it refuses, and its exit statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cli
from benchmarks.cli import main
from benchmarks.loads.base import Measure
from benchmarks.results import Comparison, Results, Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports are written."""
    monkeypatch.setattr(cli, "RESULTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--load", "single,nothing"], "unknown load 'nothing'; there are start, single"),
        (["--model", "nowhere.gguf"], "no such file: 'nowhere.gguf'"),
        (["--llama-server", "nowhere/llama-server"], "no such program: 'nowhere/llama-server'"),
        (["--example-server", "nowhere.py"], "no such file: 'nowhere.py'"),
        (["--pairs", "0"], "at least 1"),
        (["--minutes", "-1"], "above 0"),
        (["--run-seconds", "soon"], "above 0"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    arguments: list[str], reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and reason in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_a_report_of_nothing(folder: Path) -> None:
    with pytest.raises(SystemExit, match=r"no results at .*demo\.json"):
        main(["report", "--model", "demo"])


def test_a_file_that_is_no_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match="cannot load the vocabulary"):
        main(["--model", str(tmp_path / "bad.gguf"), "--load", "single"])


def test_results_of_another_model_are_kept(folder: Path) -> None:
    decode = Comparison(
        "single", "", [Measure("decode", "tok/s", True)], {}, "2026", [[Run("paddock", {"decode": 5.0}, 1)]]
    )
    Results("another", {}, {"single": decode}).save(folder / "x.json")
    with pytest.raises(SystemExit, match="holds results of another"):
        main(["--model", "demo", "--name", "x"])
    assert main(["report", "--model", "demo", "--name", "x"]) == 0
    assert "| single | decode" in (folder / "x.md").read_text()


def test_a_server_that_fails_is_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", "demo", "--threads", "1", "--load", "single", "--pairs", "1", "--no-limits"]
    assert main([*flags, "--paddock-args=--no-such-flag"]) == 1
    assert "- `single`: paddock: paddock ended at its start" in (folder / "demo.md").read_text()
    assert "its flags `--no-such-flag`" in capsys.readouterr().out
