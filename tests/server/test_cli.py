"""The command `paddock`, as a process: output, exit statuses, start and end of the server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.cli_reference import reference
from server.model_source import model_names
from server.version import __version__
from tests.models.broken import write_broken

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


def paddock(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


class Server:
    """A running `paddock serve`, its stderr read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"the server ended without saying {pattern}:\n{''.join(self.lines)}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        assert self.process.stderr
        self.lines += self.process.stderr.readlines()
        return self.process.wait(timeout=30)


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--port", "0", "-c", "512", "-np", "2", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_alone_it_says_what_there_is() -> None:
    done = paddock()
    assert (done.returncode, done.stderr) == (0, "")
    assert "serve a GGUF model" in done.stdout
    assert paddock("--help").stdout == done.stdout


def test_version_names_the_engine_too() -> None:
    done = paddock("--version")
    assert done.returncode == 0
    assert re.fullmatch(
        rf"paddock {re.escape(__version__)}\nllama-cpp-python [\d.]+\nllama\.cpp \S+, commit [0-9a-f]{{7,}}\n",
        done.stdout,
    )


def test_help_shows_each_flag_with_its_variable() -> None:
    done = paddock("serve", "--help")
    assert done.returncode == 0
    assert "--ctx-size" in done.stdout
    assert "$PADDOCK_CTX_SIZE" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sreve"], "paddock: unknown command sreve (serve?); see paddock --help"),
        (["--prot"], "paddock: unknown flag --prot; see paddock --help"),
        (["serve", "--prot", "1"], "paddock serve: unknown flag --prot (--port?); see paddock serve --help"),
        (["serve", "-fa", "x"], "paddock serve: -fa must be one of on, off, auto, not 'x'; see paddock serve --help"),
    ],
)
def test_wrong_use_is_2_and_a_line(arguments: list[str], message: str) -> None:
    done = paddock(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + "\n")


def test_a_name_that_is_no_text_is_2_and_a_line() -> None:
    done = paddock("inspect", os.fsdecode(b"caf\xe9.gguf"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "paddock inspect: 'caf\\udce9.gguf' is not UTF-8 text; see paddock inspect --help\n"


@pytest.mark.parametrize("arguments", ["--version", "--help", "list --json", "completion bash"])
def test_whose_output_nobody_takes_is_1(arguments: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "server", *arguments.split()]
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path)}
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as broken, open("/dev/full", "wb") as full:
        for out, message in ((broken, ""), (full, "paddock: cannot write: No space left on device\n")):
            done = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.PIPE, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (1, message)


def test_closed_streams() -> None:
    for closed in ("<&-", ">&-", "2>&-"):
        line = f'exec "{sys.executable}" -m server inspect missing.gguf {closed}'
        done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
        said = "" if closed == "2>&-" else "paddock inspect: there is no file missing.gguf\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_characters_that_the_output_cannot_take() -> None:
    done = paddock("--help", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: paddock COMMAND \\u2026" in done.stdout


def test_a_wrong_variable_is_2() -> None:
    done = paddock("serve", PADDOCK_PARALLEL="many")
    assert done.returncode == 2
    assert "PADDOCK_PARALLEL" in done.stderr


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """After at most the line that says what is loaded: no traceback, no more than one line of explanation."""
    assert done.returncode == 1
    *before, last = done.stderr.splitlines()
    assert all("listening at" in line for line in before), done.stderr
    return last


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere.gguf", "there is no file nowhere.gguf"),
        ("docs", "docs is a folder: name the GGUF file in it"),
        ("org/model:Q4_K_M", "cannot reach the Hub at http://127.0.0.1:9: "),
        ("hf://model", "hf://model names no repository's model: write hf://ORG/NAME[@REVISION][:QUANT]"),
        ("org/model.gguf", "there is no file org/model.gguf"),
    ],
)
def test_no_such_model_is_1(model: str, message: str) -> None:
    done = paddock("serve", model, "--port", "0", HF_ENDPOINT="http://127.0.0.1:9")
    assert last_line(done).startswith(f"paddock serve: {message}")


@pytest.mark.parametrize("fault", ["empty", "text", "truncated_header", "truncated_data", "missing_tensor"])
def test_a_model_that_is_none_is_1(tmp_path: Path, fault: str) -> None:
    path = write_broken(tmp_path / "broken.gguf", fault)
    assert re.match(rf"paddock serve: cannot load {path}: \S+", last_line(paddock("serve", str(path), "--port", "0")))


def test_a_taken_port_is_1_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = last_line(paddock("serve", "--port", str(port)))
    assert message == f"paddock serve: cannot listen at 127.0.0.1:{port}: Address already in use (--port takes another)"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "a" * 70])
def test_an_address_of_no_host_is_1(host: str) -> None:
    assert f"cannot listen at {host}: " in last_line(paddock("serve", "--host", host))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_the_demo_model_until_a_signal_comes(number: signal.Signals) -> None:
    with serving() as server:
        url = server.wait_for(r"ready: paddock-demo at (\S+)")[1]
        status, body = get(f"{url}/models")
        assert status == 200
        assert [model["id"] for model in json.loads(body)["data"]] == ["paddock-demo"]
        assert server.end(number) == 0
        assert "Traceback" not in "".join(server.lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_reaches_every_process_is_an_orderly_end(number: signal.Signals) -> None:
    """A terminal sends SIGINT to the whole process group, systemd SIGTERM to every process of a service."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--port", "0", "-c", "512", "-np", "2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with process:
        server = Server(process)
        server.wait_for("ready: ")
        os.killpg(process.pid, number)
        assert process.stderr
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 0
    assert "Traceback" not in rest


def test_a_signal_while_loading_is_0() -> None:
    with serving() as server:
        server.wait_for("listening at")
        assert server.end(signal.SIGTERM) == 0


def test_what_was_chosen_is_said_and_llama_cpp_is_quiet() -> None:
    with serving() as server:
        server.wait_for("ready: ")
        assert server.end(signal.SIGTERM) == 0
        said = "".join(server.lines)
        assert "512" in said
        assert "llama_" not in said
        assert len(server.lines) < 8


def test_verbose_lets_llama_cpp_speak() -> None:
    with serving("-v") as server:
        server.wait_for("llama_")


def test_an_alias_names_the_model() -> None:
    with serving("-a", "gpt-4o-mini,org/model") as server:
        url = server.wait_for(r"ready: .* at (\S+)")[1]
        _, body = get(f"{url}/models")
        assert [model["id"] for model in json.loads(body)["data"]] == ["gpt-4o-mini", "org/model"]


def test_no_process_is_left_behind_when_the_server_is_killed() -> None:
    with serving() as server:
        server.wait_for("ready: ")
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        if not children.exists():
            pytest.skip("needs /proc to find the engine's process")
        pids = [Path("/proc") / child for child in children.read_text().split()]
        assert pids
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 10
        while any(pid.exists() for pid in pids):
            assert time.monotonic() < deadline, "an engine process outlives its server"
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("file", "names"),
    [("qwen2.5-q4.gguf", ["qwen2.5-q4"]), ("big-00001-of-00003.gguf", ["big"]), ("MODEL.GGUF", ["MODEL"])],
)
def test_a_model_is_called_as_its_file(file: str, names: list[str]) -> None:
    assert model_names(Path("models") / file, ()) == names
    assert model_names(Path("models") / file, ("a", "b")) == ["a", "b"]


def test_docs_cli_md_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference(), "run: make docs"
