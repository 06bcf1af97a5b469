"""`paddock run`, and `paddock chat` without a terminal: real processes in pipes, with the demo model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest

from tests.models.broken import write_broken
from tests.models.families import write_model

from .chat_processes import FLAGS, SECONDS, gone, servers_of
from .serving import Server


def run(*arguments: str, text: str = "", command: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", command, *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_chat_in_a_pipe(demo: Server) -> None:
    lines = '/set temperature 0\n"""\nMy name is Anna.\n"""\nWhat is my name?\n'
    done = run("--url", demo.url, text=lines, command="chat")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Your name is Anna.")
    assert "temperature" in done.stderr


def test_an_answer_and_nothing_else(demo: Server) -> None:
    done = run("--url", demo.url, "--temp", "0", "What is the capital", "of France?")
    assert (done.returncode, done.stdout, done.stderr) == (0, "The capital of France is Paris.", "")
    done = run("--url", demo.url, "--temp", "0", text="What is the capital of France?\n")
    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.")


def test_a_run_as_json(demo: Server) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"]}
    done = run("--url", demo.url, "--json", "--json-schema", json.dumps(schema), "A number, please.")
    answer: Any = json.loads(done.stdout)
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"])["n"], int)
    done = run("--url", demo.url, "--raw", "-n", "5", "-j", json.dumps(schema), "Once upon")
    assert done.returncode == 0 and done.stdout.startswith('{"n":')


def test_a_text_is_continued(demo: Server) -> None:
    done = run("--url", demo.url, "--raw", "-n", "8", "--temp", "0", "Once upon a time")
    assert (done.returncode, done.stderr) == (0, "")
    assert "there was" in done.stdout


def test_a_model_without_a_chat_template_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf.GGUFWriter, "add_chat_template", lambda self, template: None)
    model = write_model(tmp_path / "model.gguf", "llama")
    done = run("-m", str(model), "-t", "1", "-c", "128", "-n", "4", "Hello")
    note = "model has no chat template: it continues the text (--chat-template NAME gives it one)\n"
    assert (done.returncode, done.stderr) == (0, note)
    assert done.stdout


def test_a_server_that_cannot_start_says_why_in_a_line(tmp_path: Path) -> None:
    model = write_broken(tmp_path / "broken.gguf", "truncated_data")
    done = run(str(model), "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"paddock run: cannot load {model}: ") and len(done.stderr.splitlines()) == 1


def test_a_refusal_is_a_line(demo: Server) -> None:
    done = run("--url", demo.url, "-m", "other", "Hello")
    assert done.returncode == 1
    assert done.stderr.startswith("paddock run: The model 'other' does not exist.")


def test_a_reader_that_goes_away(demo: Server) -> None:
    command = f"{sys.executable} -m server run --url {demo.url} 'Tell me a long story about a cat.'"
    script = f"set -o pipefail; {command} | head -c 4"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "Once", "")
    demo.settled()


def test_an_interrupted_run_is_130() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "server", "run", *FLAGS, "-p", "Tell me a long story about a cat.", "--ignore-eos"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(4)
        processes = servers_of(process.pid)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (130, "")
    gone(processes)
